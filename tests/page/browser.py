"""A headless Chromium, driven by selenium: what it shows of a page, what it complains about, what it asks the network for."""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
IDLE = "return Boolean(window.ovis2?.record && !ovis2.running)"


def needs_browser() -> None:
    """Skip the test where there is no browser, or nothing to drive it with."""
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("chromium and chromedriver are not installed (Debian: chromium, chromium-driver)")
    pytest.importorskip("selenium", reason="selenium drives the browser")


class Browser:
    """One window. `open` shows a page in it."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, page: Path) -> None:
        """Open a file and wait until the page's first run is there."""
        self.driver.get(page.resolve().as_uri())
        self.wait(IDLE)

    def run(self, script: str, *arguments: Any) -> Any:
        """Return what a script in the page returns."""
        return self.driver.execute_script(script, *arguments)

    def wait(self, script: str, seconds: float = 120) -> None:
        """Wait until a script returns a true value."""
        end = time.monotonic() + seconds
        while not self.run(script):
            assert time.monotonic() < end, (script, self.complaints())
            time.sleep(0.05)

    def click(self, key: str) -> None:
        """Click the element of this key, and wait until nothing is computed."""
        self.driver.find_element("css selector", f'[data-key="{key}"]').click()
        self.wait(IDLE)

    def type(self, key: str, keys: str) -> None:
        """Press keys while the element of this key has the focus."""
        self.driver.find_element("css selector", f'[data-key="{key}"]').send_keys(keys)
        self.wait(IDLE)

    def text(self, selector: str) -> str:
        """Return the text of an element as it is shown."""
        return self.driver.find_element("css selector", selector).text

    def resize(self, width: int, height: int = 900, dark: bool = False) -> None:
        """Set the size of the window, and which colours the reader prefers."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        colours = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [colours]})

    def complaints(self) -> list[str]:
        """Return the console's errors and warnings since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]

    def addresses(self) -> list[str]:
        """Return the addresses that were asked for since the last call."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]


@contextmanager
def open_browser(profile: Path) -> Iterator[Browser]:
    """Start a browser with a fresh profile in the folder `profile`."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
