"""The page in a real browser: every view opens, a click changes what it should, and nothing leaves the page."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from ovis2_ref.golden.file import read_golden, write_golden
from ovis2_ref.page.port import write_golden_page
from ovis2_ref.page.write import write_page
from ovis2_ref.tiny import SAMPLE, TINY
from ovis2_ref.tools.cli import main
from tests.page.browser import IDLE, needs_browser, open_browser
from tests.page.javascript import changed_answer, inputs_for, rounded_model, tiny_processor

VIEWS = ("picture", "grid", "tiles", "patches", "words", "embeddings", "prompt", "layers", "answer", "change")
HOSTILE = "</script><script>window.hit = 1</script><img src=x onerror='window.hit = 1'>\u2028\" ' & {{data}} &lt;"
EVERY_VIEW = """
return arguments[0].map((tab) => {
  ovis2.set({ tab, atom: 20 });
  return [tab, document.documentElement.scrollWidth, document.querySelector(".panel").innerText];
});
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    needs_browser()
    with open_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def live(folder):
    """The page of the default sample."""
    assert main(["page", "-o", str(folder / "live.html")]) == 0
    return folder / "live.html"


@pytest.fixture(scope="module")
def golden(folder):
    """A golden file of the default sample, two tokens long."""
    assert main(["golden", "record", "--tokens", "2", "-o", str(folder / "golden.safetensors")]) == 0
    return folder / "golden.safetensors"


@pytest.fixture(autouse=True)
def nothing_is_wrong(browser):
    """After each test: no complaint in the console, and no request but for the page's own file."""
    browser.complaints(), browser.addresses()
    browser.resize(1280)
    yield
    assert browser.complaints() == []
    assert {address.split(":")[0] for address in browser.addresses()} <= {"file", "blob", "data"}


def decoded(browser):
    """Return the answer's text as the page has it."""
    return browser.run("return ovis2.record.steps.map((step) => step.text).join('')")


def answer_of(picture, question):
    """Return the package's answer with the page's weights."""
    inputs = inputs_for([picture], question)
    ids = rounded_model().generate(**inputs, max_new_tokens=64)[0, inputs["input_ids"].shape[1] :]
    return tiny_processor().decode(ids)


def test_every_view_opens(browser, live):
    """At every width, in both colours: the view shows something, and is no wider than the window."""
    browser.open(live)
    assert live.stat().st_size < 6e6
    assert decoded(browser) == answer_of(Image.open(SAMPLE), "Describe the image.")
    for width in (360, 1280, 1920):
        for dark in (False, True):
            browser.resize(width, dark=dark)
            for view, wide, text in browser.run(EVERY_VIEW, VIEWS):
                assert wide <= width and len(text) > 100, (view, width, wide, text)
    browser.resize(1280)
    for view in VIEWS:
        browser.click(f"station {view}")
        assert browser.run("return document.querySelector('[aria-current=step]').dataset.key") == f"station {view}"


def test_a_question_and_a_picture(browser, live, folder):
    """A question is typed and a file is opened: the answer is the package's."""
    picture = np.random.default_rng(3).integers(0, 256, (70, 131, 3), dtype=np.uint8)
    chunks = PngImagePlugin.PngInfo()
    chunks.add(b"gAMA", (10**5).to_bytes(4, "big"))  # a browser that corrected colours would change every level
    Image.fromarray(picture).save(folder / "picture.png", pnginfo=chunks)
    browser.open(live)
    browser.driver.find_element("id", "file").send_keys(str(folder / "picture.png"))
    browser.wait("return ovis2.pictures[0].width === 131")
    browser.wait(IDLE)
    assert browser.run("return Array.from(ovis2.pictures[0].data)") == picture.reshape(-1).tolist()
    field = browser.driver.find_element("id", "question")
    field.clear()
    field.send_keys("How many shapes are there?\n")
    browser.wait(IDLE)
    assert decoded(browser) == answer_of(picture, "How many shapes are there?")


def test_a_file_that_is_no_picture(browser, live, folder):
    """It is refused in a line, and the page goes on. The second file's header claims 28,192 x 8,303 pixels."""
    browser.open(live)
    refusals = {b"no picture": "can't be read as a picture", b"GIF89a no picture": "has 28192 x 8303 pixels"}
    for content, refusal in refusals.items():
        (folder / "<b>none.png").write_bytes(content)
        browser.driver.find_element("id", "file").send_keys(str(folder / "<b>none.png"))
        browser.wait("return Boolean(ovis2.state.error)")
        assert browser.text("[role=alert]").startswith(f"<b>none.png {refusal}")
        browser.click("suggest Describe the image.")
        assert not browser.run("return document.querySelector('[role=alert]')")


def test_a_shape_is_moved(browser, live):
    """JavaScript draws the sample's scene with the bits of its file; moved by a key, it is drawn and answered again."""
    browser.open(live)
    drawn = browser.run("ovis2.set_scene(ovis2.state.scene); return Array.from(ovis2.pictures[0].data)")
    assert drawn == np.asarray(Image.open(SAMPLE)).reshape(-1).tolist()
    browser.wait(IDLE)
    before = browser.run("return ovis2.state.scene.shapes[0].x")
    browser.type("editor", "\ue00f")  # Page Down chooses the first shape
    browser.type("editor", "\ue014" * 3)  # the right arrow
    assert browser.run("return ovis2.state.scene.shapes[0].x") == before + 6
    size, data = browser.run("const [p] = ovis2.pictures; return [[p.height, p.width], Array.from(p.data)]")
    picture = np.array(data, np.uint8).reshape(*size, 3)
    assert decoded(browser) == answer_of(picture, "Describe the image.")


def test_interventions(browser, live):
    """Remove a tile, swap two, replace a word, switch a head off: the second answer is the package's under these changes."""
    browser.open(live)
    picture, question = np.asarray(Image.open(SAMPLE)), "Describe the image."
    atoms = browser.run("return ovis2.record.positions")
    browser.click("station change")
    browser.click("do remove")
    changes = {"hidden": atoms[:16]}
    first = browser.run("return ovis2.records.first.ids.slice(ovis2.records.first.prompt_length)")

    def check():
        made = browser.run("return ovis2.records.second.ids.slice(ovis2.records.second.prompt_length)")
        assert made == changed_answer([picture], question, changes)[0]
        assert ("The answer is the same" in browser.text(".comparison")) == (made == first)

    check()
    browser.click("do swap")
    browser.click("do head")
    changes |= {"swapped": [[1, 2]], "heads": [[0, 0]]}
    check()
    browser.run("ovis2.set({tab: 'words', atom: 40})")
    browser.run("ovis2.set({word: 7})")
    browser.click("replace")
    changes |= {"words": [[40, 7]]}
    browser.click("station change")
    check()
    browser.click("undo all")
    assert browser.run("return ovis2.records.second") is None


def test_attention_is_the_models(browser, live):
    """A token of the prompt is clicked: the numbers are the weights of its attention."""
    from ovis2_ref.runtime.taps import recording

    browser.open(live)
    browser.click("station prompt")
    position = browser.run("return ovis2.record.tokens.find(({text}) => text === ' image').position")
    browser.click(f"token {position}")
    browser.run("ovis2.set({layer: 1, head: 2})")
    with recording() as values:
        rounded_model()(**inputs_for([Image.open(SAMPLE)], "Describe the image."))
    weights = values["model.language_model.layers.1.self_attn.weights"][0, 2, position]
    shown = browser.run("return ovis2.record.weights(1, 2, arguments[0])", position)[: len(weights)]
    np.testing.assert_allclose(shown, weights, atol=1e-6)  # the page keeps float32
    best = int(weights.argmax())
    number = f"{100 * weights[best]:.1f} %"
    assert number in browser.text(".panel .bars")
    title = browser.run("return document.querySelector(`[data-key='token ${arguments[0]}']`)?.title ?? ''", position)
    assert f"{100 * weights[position]:.1f} %" in title or weights[position] < 0.01
    browser.click("fold 0")
    assert browser.run("return document.querySelectorAll('.cells .cell').length") == 16


def test_the_keyboard_reaches_cells_and_steps(browser, live):
    """Arrow keys move the chosen cell; the guided way goes to its end and back."""
    browser.open(live)
    browser.click("station words")
    browser.run("ovis2.set({atom: ovis2.record.per_tile + 3})")
    browser.type("map 0", "\ue014\ue015")
    assert browser.run("return ovis2.record.named(ovis2.state.atom)") == "tile 2, cell 2.1"
    assert "tile 2, cell 2.1 · patches 16, 17, 24, 25 · " in browser.text(".inspector")
    browser.click("guide")
    titles = []
    while browser.run("return !document.querySelector('[data-key=\"guide next\"]').disabled"):
        titles.append(browser.text(".guide h2"))
        browser.type("guide next", "\n")
    assert len(set(titles)) == len(titles) >= 17
    browser.type("guide back", "\n")
    assert browser.text(".guide h2") != "Now you"
    browser.click("guide close")


def test_hostile_text_is_shown(browser, folder):
    """A question with markup in it is text everywhere, and the page runs nothing but its own script."""
    write_page(folder / "hostile.html", [SAMPLE], HOSTILE, TINY)
    browser.open(folder / "hostile.html")
    assert browser.run("return document.querySelector('#question').value") == HOSTILE
    browser.click("station prompt")
    shown = browser.run(
        "return [...document.querySelectorAll('.prompt .token')].map((one) => one.textContent).join('')"
    )
    assert "window.hit" in shown.replace("␣", " ")
    assert browser.run("return window.hit ?? null") is None


def test_nothing_else_runs(browser, live):
    """The policy stops an inline script, a handler, and a request."""
    browser.open(live)
    browser.run(
        "const script = document.createElement('script'); script.textContent = 'window.hit = 1'; document.body.append(script);"
        "const image = document.createElement('img'); image.setAttribute('onerror', 'window.hit = 2'); image.src = 'data:,';"
        "document.body.append(image); fetch('http://localhost:9/').catch(() => (window.refused = true));"
    )
    browser.wait("return window.refused")
    assert browser.run("return window.hit ?? null") is None
    complaints = browser.complaints()
    assert len(complaints) >= 3 and all("Content Security Policy" in one or "CSP" in one for one in complaints)


def test_a_recording(browser, golden, folder):
    """The page of a golden file: its numbers are the file's."""
    write_golden_page(folder / "recorded.html", str(golden), None, TINY)
    browser.open(folder / "recorded.html")
    taps = read_golden(golden).taps
    tokens = taps["model.vision_tower.tokens"].reshape(-1, 251)
    shown = browser.run("return ovis2.record.positions.map((_, atom) => ovis2.record.words_of(atom))")
    for atom, row in enumerate(tokens):
        assert [word for word, _ in shown[atom]] == np.argsort(-row, kind="stable")[:10].tolist()
        np.testing.assert_allclose([chance for _, chance in shown[atom]], np.sort(row)[:-11:-1], rtol=1e-6)
    weights = taps["model.language_model.layers.2.self_attn.weights"][0, 1]
    for position in (3, len(weights) - 1):
        seen = browser.run("return ovis2.record.weights(2, 1, arguments[0])", position)[: len(weights)]
        np.testing.assert_allclose(np.sqrt(seen), np.sqrt(weights[position]), atol=0.51 / 255)
    steps = browser.run("return ovis2.record.steps")
    chances = np.exp(taps["lm_head.output"][0, 0] - taps["lm_head.output"].max())
    chances /= chances.sum()
    assert steps[0]["layers"][-1]["top"][0]["chance"] == pytest.approx(chances.max(), rel=1e-6)
    assert [step["id"] for step in steps] == taps["generated"][0].tolist()
    for view in VIEWS[:-1]:
        browser.click(f"station {view}")
        assert len(browser.text(".panel")) > 80
    assert browser.driver.find_elements("css selector", '[data-key="station change"]') == []
    assert "left out" in browser.run("ovis2.set({tab: 'picture'}); return document.querySelector('.panel').textContent")


@pytest.mark.parametrize("kept", [(), ("tokens",), ("self_attn.weights",)])
def test_a_recording_with_few_values(browser, golden, folder, kept):
    """What a golden file doesn't hold is said to be left out; every view opens."""
    run = read_golden(golden)
    inputs = ("image.picture", "image.grid", "input_ids")
    taps = {name: run.taps[name] for name in run.names if name in inputs or name.split("#")[0].endswith(kept or "?")}
    write_golden(folder / "few.safetensors", replace(run, taps=taps))
    write_golden_page(folder / "few.html", str(folder / "few.safetensors"), None, TINY)
    browser.open(folder / "few.html")
    for _, _, text in browser.run(EVERY_VIEW, VIEWS[:-1]):
        assert len(text) > 80
    browser.run("ovis2.go_guide(0)")
    while browser.run("return !document.querySelector('[data-key=\"guide next\"]').disabled"):
        browser.click("guide next")


def test_a_recording_of_the_authors_convention(browser, folder):
    """Negative placeholders are found, and tiles are squares around crops."""
    path = str(folder / "original.safetensors")
    assert main(["golden", "record", "--convention", "original", "-o", path]) == 0
    write_golden_page(folder / "original.html", path, None, TINY)
    browser.open(folder / "original.html")
    kinds = browser.run("return ovis2.record.tokens.map(({kind}) => kind)")
    assert kinds.count("atom") == 16 * browser.run("return ovis2.record.tiles.length") == 112
    assert kinds.count("row") == 2 and kinds.count("column") == 3
    for _, _, text in browser.run(EVERY_VIEW, VIEWS[:-1]):
        assert len(text) > 80


def test_the_port_view(browser, golden, folder):
    """A candidate with wrong pixels and a hostile name: the first wrong stage, the map of wrong pixels, the named cause."""
    run = read_golden(golden)
    taps = {name: run.taps[name] for name in run.names if ".layers." not in name}
    taps["pixel_values"] = taps["pixel_values"].copy()
    taps["pixel_values"][2, :, 40, 8] += 1
    taps[HOSTILE] = np.zeros(3, np.float32)
    write_golden(folder / "candidate.safetensors", replace(run, taps=taps))
    write_golden_page(folder / "port.html", str(golden), str(folder / "candidate.safetensors"), TINY)
    browser.open(folder / "port.html")
    assert browser.text(".verdict").startswith("WRONG: pixel_values")
    pixels = browser.run("return ovis2.data.port.pixels")
    assert [i for i, value in enumerate(pixels) if value] == [2 * 16 + 2 * 4 + 0]
    assert browser.run("return window.hit ?? null") is None
    browser.click("all values")
    assert len(browser.driver.find_elements("css selector", ".values tbody tr")) == len(
        browser.run("return ovis2.data.port.values")
    )
    data = json.loads(browser.run("return document.getElementById('data').textContent"))
    wrong = next(value for value in data["port"]["values"] if value["verdict"] == "wrong")
    assert wrong["tap"] in browser.text(".panel")
