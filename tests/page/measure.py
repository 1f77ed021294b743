"""Measure the page: `python -m tests.page.measure`. Prints sizes, and milliseconds on this machine.

The model: nine tiles, the most that the tiny model cuts, under node and in the browser's worker. A click: setting the state
and drawing every part of the page. CPU is the processor time of node, and of the page's main thread: other work on the machine
changes it less.
"""

import json
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from ovis2_ref.page.html import html_page
from ovis2_ref.page.write import write_page
from ovis2_ref.tiny import SAMPLE, TINY
from tests.page.browser import Browser, open_browser
from tests.page.javascript import job, node, write_model
from tests.page.sizes import recording_of_1b

QUESTION = "Describe the image."
CLICKS = """
const times = [];
for (const tab of ["picture", "grid", "tiles", "patches", "words", "embeddings", "prompt", "layers", "answer"])
  for (const atom of [3, 9]) {
    const start = performance.now();
    ovis2.set({ tab, atom, layer: atom === 3 ? 1 : null, head: atom === 3 ? 1 : null });
    document.documentElement.getBoundingClientRect();
    times.push(performance.now() - start);
  }
return times;
"""


def busy(browser: Browser) -> float:
    """Return the milliseconds of processor time that the main thread has taken."""
    metrics = browser.driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return 1000 * next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")


def report(name: str, page: Path, browser: Browser) -> None:
    """Print a page's size, how long it takes to open, and how long a click."""
    browser.driver.get("about:blank")
    browser.driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    before, start = busy(browser), time.perf_counter()
    browser.driver.get(page.resolve().as_uri())
    browser.wait("return document.querySelectorAll('.station').length > 8")
    opened, opened_cpu = time.perf_counter() - start, busy(browser) - before
    browser.wait("return Boolean(window.ovis2?.record && !ovis2.running)")
    before = busy(browser)
    clicks = browser.run(CLICKS)
    clicked_cpu = (busy(browser) - before) / len(clicks)
    print(f"{name}: {page.stat().st_size / 1e6:.2f} MB; opened in {1000 * opened:.0f} ms (CPU {opened_cpu:.0f})")
    print(f"  a click: {median(clicks):.0f} ms (median), {max(clicks):.0f} ms (longest); mean CPU {clicked_cpu:.0f}")


def main() -> None:
    """Measure the live page, then the recording of a model of Ovis2-1B's size."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(folder)
        picture = np.asarray(Image.open(SAMPLE.with_name("nine_tiles.png")))
        (folder / "jobs.json").write_text(json.dumps([job(folder, "nine", [picture], QUESTION)]))
        print(node("time_model.mjs", folder), end="")
        write_page(folder / "live.html", [SAMPLE.with_name("nine_tiles.png")], QUESTION, TINY)
        (folder / "recorded.html").write_text(html_page(recording_of_1b()), "utf-8")
        with open_browser(folder / "profile") as browser:
            report("live, nine tiles", folder / "live.html", browser)
            for turn in range(3):
                first, every, tokens = browser.run(
                    "const { first, all, tokens } = ovis2.times; return [first, all, tokens]"
                )
                print(
                    f"  run {turn}: first token {first:.0f} ms, each next one {(every - first) / (tokens - 1):.1f} ms"
                )
                browser.run("ovis2.ask({})")
                browser.wait("return !ovis2.running")
            report("recorded, seven tiles of Ovis2-1B's shape", folder / "recorded.html", browser)


if __name__ == "__main__":
    main()
