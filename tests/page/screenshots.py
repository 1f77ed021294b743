"""Take a picture of every view, to be looked at: `python -m tests.page.screenshots FOLDER`.

At 360, 1,280 and 1,920 pixels, light and dark. With `--readme` it makes the pictures of the README instead.
"""

import argparse
import io
import time
from base64 import b64decode
from pathlib import Path

from PIL import Image

from ovis2_ref.page.write import write_page
from ovis2_ref.tiny import SAMPLE, TINY
from tests.page.browser import IDLE, Browser, open_browser

PICTURES = Path(__file__).parents[2] / "ovis2_ref" / "page" / "pictures"
VIEWS = ("picture", "grid", "tiles", "patches", "words", "embeddings", "prompt", "layers", "answer", "change")
SETTINGS = {
    "words": "ovis2.set({tab: 'words', atom: null})",
    "layers": "ovis2.set({tab: 'layers', layer: 1, head: 1})",
    "change": "ovis2.set({tab: 'change'}); ovis2.hide(ovis2.record.atoms(0).map((atom) => ovis2.record.positions[atom]))",
    "guide": "ovis2.go_guide(7)",
}
"""What is chosen in a view before its picture is taken; nothing in the others."""


def take(browser: Browser, view: str, whole: bool) -> Image.Image:
    """Return a picture of a view: of the window, or of the whole page."""
    browser.run("ovis2.change({hidden: [], words: [], swapped: [], heads: []}); ovis2.go_guide(null)")
    browser.run(SETTINGS.get(view, f"ovis2.set({{tab: '{view}', layer: null, head: null, atom: 20}})"))
    browser.wait(IDLE)
    time.sleep(0.2)
    options = {"format": "png", "captureBeyondViewport": whole}
    if whole:
        width, height = browser.run("return [innerWidth, document.documentElement.scrollHeight]")
        options["clip"] = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
    data = browser.driver.execute_cdp_cmd("Page.captureScreenshot", options)["data"]
    return Image.open(io.BytesIO(b64decode(data))).convert("RGB")


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where to write the pictures, the page and the browser's profile")
    parser.add_argument("--readme", action="store_true", help=f"write the README's pictures into {PICTURES}")
    arguments = parser.parse_args()
    arguments.folder.mkdir(exist_ok=True)
    page = arguments.folder / "page.html"
    write_page(page, [SAMPLE], "Describe the image.", TINY)
    with open_browser(arguments.folder / "profile") as browser:
        browser.open(page)
        if arguments.readme:
            PICTURES.mkdir(exist_ok=True)
            for view, dark in (("words", False), ("change", True)):
                browser.resize(1280, 1000, dark)
                image = take(browser, view, whole=False)
                image.quantize(200, dither=Image.Dither.NONE).save(PICTURES / f"{view}.png", optimize=True)
            return
        for width in (360, 1280, 1920):
            for dark in (False, True):
                browser.resize(width, 900, dark)
                for view in (*VIEWS, "guide"):
                    name = f"{view}_{width}_{'dark' if dark else 'light'}.png"
                    take(browser, view, whole=view != "guide").save(arguments.folder / name)


if __name__ == "__main__":
    main()
