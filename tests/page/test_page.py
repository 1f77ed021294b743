"""What a page is made of: its text, its policy, what it carries and what it leaves out."""

import base64
import hashlib
import json
import re
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovis2_ref.config import Ovis2Config
from ovis2_ref.golden.file import Golden, read_golden, write_golden
from ovis2_ref.model import Ovis2ForConditionalGeneration
from ovis2_ref.page.html import ROOM, as_json, html_page, script_of
from ovis2_ref.page.live import fitted, live_model, meanings, parameters, why_not_live
from ovis2_ref.page.recording import KEPT, Keeper, as_bytes, largest, likeliest_words, packed_attention
from ovis2_ref.text.processor import Ovis2Processor
from ovis2_ref.tiny import SAMPLE, TINY
from ovis2_ref.tools.cli import main
from tests.page.javascript import tiny_processor
from tests.page.sizes import recording_of_1b

MODULES = sorted(ROOM.rglob("*.mjs"))


@pytest.fixture(scope="module")
def tiny():
    return Ovis2ForConditionalGeneration.from_pretrained(TINY)


@given(st.recursive(st.text() | st.integers(-(2**53), 2**53) | st.none(), st.lists))
def test_data_stands_in_a_script_element(data):
    """Any data comes back, and no character in its text can end the element, a line, or a string."""
    text = as_json(data)
    assert json.loads(text) == data
    assert not re.search("[<>&\u2028\u2029\n]", text)
    text.encode()


def test_the_policy_allows_the_pages_own_script_and_style_alone():
    """The hashes are those of the elements' texts; nothing in the data or the weights can change the template."""
    page = html_page({"question": "{{weights}} {{script}} </script>"}, b"weights")
    policy = re.search(r'Security-Policy" content="([^"]*)"', page)[1]
    (script,), (style,) = (
        re.findall(r"<script>(.*?)</script>", page, re.DOTALL),
        re.findall(r"<style>(.*?)</style>", page, re.DOTALL),
    )
    allowed = [
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in (script, style)
    ]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert [rules["script-src"], rules["style-src"]] == allowed
    assert rules["default-src"] == rules["connect-src"] == rules["base-uri"] == "'none'"
    assert set(re.findall(r"https?://[\w./]+", page)) == {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert page.count("</script>") == 4


def test_text_never_becomes_markup():
    """No module writes markup, runs text, or asks the network."""
    never = r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\(|new Function|\bfetch\(|XMLHttp"
    for path in MODULES:
        text = path.read_text()
        assert not re.search(never, text), path
        assert "</script" not in text


@pytest.mark.parametrize("entry", ["views/main.mjs", "model/worker.mjs"])
def test_names_are_unique_in_a_script(entry):
    """Modules share one scope in the page: no name is given twice, none is left to import or export."""
    script = script_of(entry)
    names = re.findall(r"^(?:async )?(?:function\*?|const|let|class) (\w+)", script, re.MULTILINE)
    assert len(names) == len(set(names)) > 40
    assert not re.search(r"^(import|export) ", script, re.MULTILINE)


def test_every_module_is_in_a_script():
    """No file is left that no page runs."""
    scripts = script_of("views/main.mjs") + script_of("model/worker.mjs")
    for path in MODULES:
        first = re.search(
            r"^(?:export )?((?:async )?(?:function\*?|const|class) \w+|self\.onmessage)", path.read_text(), re.MULTILINE
        )
        assert first[1] in scripts, path


@pytest.mark.parametrize(
    ("part", "name", "value", "reason"),
    [
        ("vision_config", "tokenize_function", "st_argmax", "softmax"),
        ("vision_config", "hidden_act", "gelu", "SiLU"),
        ("text_config", "hidden_act", "gelu", "SiLU"),
        ("text_config", "rope_parameters", {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}, "rotary"),
        ("text_config", "layer_types", ["sliding_attention"] + ["full_attention"] * 3, "windows"),
        ("text_config", "vocab_size", 10**5, "parameters"),
    ],
)
def test_what_the_javascript_cannot_be(tiny, part, name, value, reason):
    """A model that the JavaScript doesn't compute is recorded, and the page says why."""
    values = tiny.config.to_dict()
    values[part][name] = value
    if name == "layer_types":
        values[part] |= {"use_sliding_window": True, "sliding_window": 8}
    config = Ovis2Config.from_dict(values)
    model = Ovis2ForConditionalGeneration.from_pretrained(TINY)
    model.config = config
    assert reason in why_not_live(model, tiny_processor())
    assert why_not_live(tiny, tiny_processor()) is None


@pytest.mark.parametrize(
    "options",
    [
        {"resample": 2},
        {"max_patches": 1},
        {"use_covering_area_grid": False},
        {"do_normalize": False},
        {"pillow": "12.1"},
    ],
)
def test_pictures_that_the_javascript_does_not_cut(tiny, options):
    assert "pictures" in why_not_live(tiny, Ovis2Processor.from_pretrained(TINY, **options))


def test_scores_that_the_javascript_does_not_change(tiny):
    model = Ovis2ForConditionalGeneration.from_pretrained(TINY)
    model.generation_config = {**model.generation_config, "repetition_penalty": 1.1}
    assert "scores" in why_not_live(model, tiny_processor())


def test_the_weights_are_counted(tiny):
    assert parameters(tiny.config) == sum(weight.size for weight in tiny.weights.values())
    assert len(live_model(TINY, tiny, tiny_processor())["tensors"]) == len(tiny.weights)
    assert meanings(TINY)[0] == "background" and meanings(TINY.parent) == []


def test_large_pictures_are_reduced():
    from PIL import Image

    assert fitted(Image.new("RGBA", (2000, 500))).size == (640, 160)
    assert fitted(Image.open(SAMPLE)).size == Image.open(SAMPLE).size


@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_likeliest(seed, count):
    """The largest numbers in order, of few or many; the entropy in bits."""
    rows = np.random.default_rng(seed).dirichlet(np.full(count, 0.3), size=(2, 3))
    best = largest(rows.reshape(6, count))
    np.testing.assert_array_equal(best, np.argsort(-rows.reshape(6, count), axis=-1, kind="stable")[:, :KEPT])
    kept = likeliest_words(rows)
    entropy = np.frombuffer(zlib.decompress(base64.b64decode(kept["entropy"])), "<f4")
    expected = -np.sum(np.where(rows > 0, rows * np.log2(np.where(rows > 0, rows, 1)), 0), axis=-1).reshape(-1)
    np.testing.assert_allclose(entropy, expected, rtol=1e-6, atol=1e-6)


@given(st.floats(0, 1))
def test_attention_in_bytes(weight):
    """The root is kept to half a step of 1 / 255."""
    assert abs(float(as_bytes(np.array([weight]))[0]) / 255 - np.sqrt(weight)) <= 0.5001 / 255


def test_attention_beyond_the_budget_is_left_out():
    """Noise that can't be compressed: the answer's first steps are kept, and the page says how many."""
    rng, keeper, left_out = np.random.default_rng(0), Keeper(layers=2), []
    keeper.ids = list(range(90_000))
    for step in range(40):
        for layer in range(2):
            keeper.attention[step + 1, layer] = rng.integers(0, 256, (2, 1, 90_000 + step), dtype=np.uint8)
    packed = packed_attention(keeper, left_out)
    assert packed["rows"] == list(range(89_999, 89_999 + len(packed["rows"])))
    assert 10 < len(packed["rows"]) < 16
    assert f"{len(packed['rows'])} of 40 steps" in left_out[0]
    data = np.frombuffer(zlib.decompress(base64.b64decode(packed["bytes"])), np.uint8)
    data = data.reshape(len(packed["rows"]), 2, 2, packed["tokens"])
    np.testing.assert_array_equal(data[3, 1, :, : 90_000 + 3], keeper.attention[4, 1][:, 0])
    assert not data[3, :, :, 90_000 + 3 :].any()


def test_wrong_input_is_refused(tmp_path, capsys):
    """In one line, with exit status 2; no page is written."""
    golden = str(tmp_path / "golden.safetensors")
    write_golden(
        golden, Golden({"pixel_values": np.zeros((1, 3, 64, 64), np.float32)}, {"version": 1, "dtype": "float32"})
    )
    page = str(tmp_path / "page.html")
    beside = ["--golden", golden, "--prompt", "x", "--", str(SAMPLE)]
    for arguments in (["--golden", golden], beside, ["--golden", *[golden] * 3], ["missing.png"]):
        assert main(["page", "-o", page, *arguments]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "page.html").exists()


@pytest.fixture(scope="module")
def golden(tmp_path_factory):
    """The values of a run, two tokens long."""
    path = str(tmp_path_factory.mktemp("golden") / "golden.safetensors")
    assert main(["golden", "record", "--tokens", "2", "-o", path]) == 0
    run = read_golden(path)
    kept = ("image", "input_ids", "generated", "tokens", "self_attn.weights", "inputs_embeds", "output")
    taps = {name: run.taps[name] for name in run.names if name.startswith(kept) or name.split("#")[0].endswith(kept)}
    return Golden(taps, run.metadata)


WEIGHTS, TOKENS = "model.language_model.layers.1.self_attn.weights", "model.vision_tower.tokens"


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("image.picture", lambda a: a[:2]),
        ("image.picture", lambda a: a.astype(np.float32)),
        ("image.picture", lambda a: a[0]),
        ("image.grid", lambda a: a * 0),
        ("image.grid", lambda a: a * 10**12),
        ("image.grid", lambda a: a[::-1] + 1),
        ("image.tiles", lambda a: a[:3]),
        ("input_ids", lambda a: a[:, :50]),
        ("input_ids", lambda a: a * 0),
        ("input_ids", lambda a: a - 10**6),
        ("input_ids", lambda a: a[0]),
        (TOKENS, lambda a: a[:, 1:]),
        (TOKENS, lambda a: a * np.nan),
        (WEIGHTS, lambda a: a[:, :, :, 1:]),
        (WEIGHTS, lambda a: a[:, 1:]),
        (WEIGHTS, lambda a: a[0]),
        (WEIGHTS + "#2", lambda a: a[..., :0]),
        ("model.language_model.layers.1.output", lambda a: a[..., 1:]),
        ("generated", lambda a: a + 10**9),
    ],
)
def test_a_golden_file_that_fits_no_run_is_refused(golden, tmp_path, capsys, name, change):
    """Each value in turn is of another shape, type or range: one line, exit status 2."""
    path = str(tmp_path / "golden.safetensors")
    write_golden(path, Golden({**golden.taps, name: change(golden.taps[name])}, golden.metadata))
    assert main(["page", "--golden", path, "-o", str(tmp_path / "page.html")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_larger_model_is_recorded(tmp_path, capsys):
    """The tiny model with a longer text table: a recording, whose answer is the model's."""
    model = Ovis2ForConditionalGeneration.from_pretrained(TINY)
    config = replace(model.config, text_config=replace(model.config.text_config, vocab_size=6000), vocab_size=6000)
    weights = dict(model.weights)
    name = "model.language_model.embed_tokens.weight"
    weights[name] = np.concatenate([weights[name], np.zeros((6000 - 512, 128), np.float32)])
    larger = Ovis2ForConditionalGeneration(config, weights)
    larger.generation_config = model.generation_config
    larger.save_pretrained(tmp_path / "larger")
    tiny_processor().save_pretrained(tmp_path / "larger")
    assert main(["page", "--checkpoint", str(tmp_path / "larger"), "-o", str(tmp_path / "page.html")]) == 0
    assert "parameters" in capsys.readouterr().err
    page = (tmp_path / "page.html").read_text()
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    assert data["live"] is None
    recording = data["recording"]
    assert "".join(recording["texts"][recording["prompt_length"] :]).startswith("A yellow triangle")
    assert [step["layers"][-1]["top"][0][0] for step in recording["steps"]] == recording["ids"][
        recording["prompt_length"] :
    ]
    assert len(recording["attention"]["rows"]) == recording["attention"]["tokens"]


@pytest.mark.slow
def test_a_recording_of_the_size_of_1b():
    """Seven tiles, 1,820 tokens, 24 layers of 14 heads: below 10 MB, with attention for at least half of 64 steps."""
    data = recording_of_1b()
    recording = data["recording"]
    assert len(recording["tiles"]) == 7 and recording["prompt_length"] >= 1820
    assert len(html_page(data).encode()) < 10e6
    assert len(recording["attention"]["rows"]) >= 32
