"""Measure the page in a browser: `python -m tests.page.measure`. Prints sizes, and milliseconds on this machine.

The model: nine tiles, the most that the tiny model cuts. A click: setting the state and drawing every part of the page.
"""

import tempfile
import time
from pathlib import Path
from statistics import median

from ovis2_ref.page.html import html_page
from ovis2_ref.page.write import write_page
from ovis2_ref.tiny import SAMPLE, TINY
from tests.page.browser import Browser, open_browser
from tests.page.sizes import recording_of_1b

QUESTION = "Describe the image."
CLICKS = """
const times = [];
for (const tab of ["picture", "grid", "tiles", "patches", "words", "embeddings", "prompt", "layers", "answer"])
  for (const atom of [3, 9]) {
    const start = performance.now();
    ovis2.set({ tab, atom, layer: 1, head: 1 });
    document.documentElement.getBoundingClientRect();
    times.push(performance.now() - start);
  }
return times;
"""


def report(name: str, page: Path, browser: Browser) -> None:
    """Print a page's size, how long it takes to open, and how long a click."""
    start = time.perf_counter()
    browser.driver.get(page.resolve().as_uri())
    browser.wait("return document.querySelectorAll('.station').length > 8")
    opened = time.perf_counter() - start
    browser.wait("return Boolean(window.ovis2?.record && !ovis2.running)")
    clicks = browser.run(CLICKS)
    print(f"{name}: {page.stat().st_size / 1e6:.2f} MB; opened in {1000 * opened:.0f} ms")
    print(f"  a click: {median(clicks):.0f} ms (median), {max(clicks):.0f} ms (longest)")


def main() -> None:
    """Measure the live page, then the recording of a model of Ovis2-1B's size."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
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
