"""The page's JavaScript model is the package's model: the same pixel values, the same tokens, the same answers."""

import json
import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ovis2_ref.errors import OvisError
from tests.page.javascript import (
    changed_answer,
    drawn_question,
    inputs_for,
    job,
    needs_node,
    node,
    rounded_model,
    run_jobs,
    tiny_processor,
    write_model,
)

pytestmark = needs_node


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("javascript")
    write_model(path)
    return path


def drawn_sizes(count):
    """Return sizes (height, width): one pixel, extreme ratios, the sizes of tiles and canvases, and drawn ones."""
    rng = np.random.default_rng(0)
    hard = [
        (1, 1),
        (1, 97),
        (89, 1),
        (64, 64),
        (128, 64),
        (63, 65),
        (192, 192),
        (3, 200),
        (300, 7),
        (64, 1000),
        (300, 150),
        (200, 120),
    ]
    return hard + [tuple(np.exp(rng.uniform(0, np.log(400), 2)).astype(int).tolist()) for _ in range(count - len(hard))]


def test_pixel_values_are_equal_to_the_bit(folder):
    """Noise of 60 sizes: the same grid, levels and pixel values; every order of passes occurs."""
    rng = np.random.default_rng(1)
    pictures = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in drawn_sizes(60)]
    jobs = [job(folder, f"noise{i}", [picture], "") for i, picture in enumerate(pictures)]
    (folder / "jobs.json").write_text(json.dumps(jobs))
    results = json.loads(node("prepare_jobs.mjs", folder))
    pixels = np.fromfile(folder / "pixels.bin", np.float32)
    expected = [
        tiny_processor().image_processor([Image.fromarray(picture)], return_tensors="np") for picture in pictures
    ]
    assert [result["grids"] for result in results] == [e["grids"].tolist() for e in expected]
    assert np.concatenate([e["pixel_values"].reshape(-1) for e in expected]).tobytes() == pixels.tobytes()
    assert len({tuple(grid) for result in results for grid in result["grids"]}) > 10


@settings(max_examples=5)
@given(
    st.lists(
        st.text() | st.text(alphabet=" \t\n\r'sStTrReEvVlLmMdDaZ0\u0085\u00a0\u3000\u017fé́中😀<|im_end|>."),
        min_size=20,
        max_size=60,
    )
)
def test_tokens_are_equal(folder, texts):
    """Any text has the same words and ids, and these decode to the same text."""
    (folder / "texts.json").write_text(json.dumps(texts))
    results = json.loads(node("tokenize.mjs", folder))
    tokenizer = tiny_processor().tokenizer
    split = tokenizer._backend.pre_tokenizer.pre_tokenize_str
    for (words, _, _), text in zip(results, texts, strict=True):
        composed = unicodedata.normalize("NFC", text)
        assert words == [composed[first:last] for _, (first, last) in split(composed)]
    assert [ids for _, ids, _ in results] == [tokenizer.encode(text) for text in texts]
    assert [text for _, _, text in results] == [tokenizer.decode(tokenizer.encode(text)) for text in texts]


def check_answers(folder, seeds):
    asked = {seed: drawn_question(seed) for seed in seeds}
    jobs = [job(folder, f"scene{seed}", [picture], question) for seed, (picture, question) in asked.items()]
    for result, (picture, question) in zip(run_jobs(folder, jobs), asked.values(), strict=True):
        inputs = inputs_for([picture], question)
        ids = inputs["input_ids"][0].tolist()
        assert result["ids"] == ids
        assert result["answer"] == rounded_model().generate(**inputs, max_new_tokens=64)[0, len(ids) :].tolist()


def test_answers_are_equal(folder):
    """Drawn scenes and questions about them."""
    check_answers(folder, range(700_000, 700_008))


@pytest.mark.slow
def test_a_hundred_answers_are_equal(folder):
    """The same for 100 scenes."""
    check_answers(folder, range(700_100, 700_200))


def drawn_changes(seed, inputs):
    """Return one or two changes of a run: of each kind in turn."""
    rng, config = np.random.default_rng(seed), rounded_model().config
    last = inputs["input_ids"].size - 1
    tiles, tokens = len(inputs["pixel_values"]), config.vision_config.tokens_per_tile
    atoms = np.flatnonzero(inputs["input_ids"][0] == config.image_token_id).reshape(tiles, tokens)
    text = config.text_config
    kinds = {
        "tile": lambda: {"hidden": atoms[rng.integers(tiles)].tolist()},
        "word": lambda: {"words": [[int(rng.integers(tiles * tokens)), int(rng.integers(251))] for _ in range(6)]},
        "token": lambda: {"hidden": [0, *rng.integers(1, last, 2).tolist(), last]},
        "swap": lambda: {"swapped": [rng.integers(0, tiles, 2).tolist()]},
        "head": lambda: {
            "heads": [[int(rng.integers(text.num_hidden_layers)), int(rng.integers(text.num_attention_heads))]]
        },
    }
    first = list(kinds)[seed % len(kinds)]
    return kinds[first]() | (kinds["head"]() if seed % 2 else {})


def test_changed_answers_are_equal(folder):
    """Twenty runs with a tile or a token hidden, words replaced, tiles swapped, a head switched off; some change the answer."""
    jobs, expected, plain = [], [], []
    for seed in range(20):
        picture, question = drawn_question(710_000 + seed)
        inputs = inputs_for([picture], question)
        changes = drawn_changes(seed, inputs)
        jobs.append(job(folder, f"changed{seed}", [picture], question, changes=changes))
        expected.append(changed_answer([picture], question, changes))
        plain.append(changed_answer([picture], question, {}))
    for result, (ids, chances) in zip(run_jobs(folder, jobs), expected, strict=True):
        assert result["answer"] == ids
        np.testing.assert_allclose(result["chances"], chances, rtol=1e-9)  # float64, some 6,000 additions
    assert sum(one[0] != other[0] for one, other in zip(expected, plain, strict=True)) >= 4


def test_two_pictures_and_none(folder):
    """A question about two pictures, and one without a picture."""
    pictures = [drawn_question(seed)[0] for seed in (720_000, 720_001)]
    for result, given_pictures in zip(
        run_jobs(folder, [job(folder, "two", pictures, "What do you see?"), job(folder, "none", [], "Hello")]),
        (pictures, []),
        strict=True,
    ):
        inputs = inputs_for(given_pictures, "What do you see?" if given_pictures else "Hello")
        length = inputs["input_ids"].shape[1]
        assert result["answer"] == rounded_model().generate(**inputs, max_new_tokens=64)[0, length:].tolist()


@pytest.mark.parametrize("question", ["<image>", "a <IMG_ATOM> b"])
def test_placeholders_in_a_question_are_refused(folder, question):
    """As in the package: there would be more places than pictures."""
    picture, _ = drawn_question(1)
    (result,) = run_jobs(folder, [job(folder, "hostile", [picture], question)])
    assert "Leave <" in result["error"]
    with pytest.raises(OvisError):
        rounded_model().generate(**inputs_for([picture], question))


def test_the_functions_are_those_of_the_file():
    """Every formula of walkthroughs/ovis2.py is there under its name; Python's own means and the cache's have others."""
    root = Path(__file__).parents[2]
    formulas = set(re.findall(r"^def (\w+)", (root / "walkthroughs" / "ovis2.py").read_text(), re.MULTILINE))
    modules = "".join(path.read_text() for path in (root / "ovis2_ref" / "page" / "model").glob("*.mjs"))
    named = set(re.findall(r"^(?:export )?(?:function\*?|const) (\w+)", modules, re.MULTILINE))
    assert formulas - named == {"causal", "update_cache", "usual", "read_config", "read_weights", "describe"}


def test_golden_compare_says_right(folder, tmp_path):
    """The JavaScript model dumps its values with the golden writer; `ovis2-ref golden compare` judges each."""
    from ovis2_ref.golden import record
    from ovis2_ref.image.loading import load_image
    from ovis2_ref.tiny import SAMPLE

    rounded_model().save_pretrained(tmp_path)
    tiny_processor().save_pretrained(tmp_path)
    picture = load_image(SAMPLE)
    record(tmp_path / "golden.safetensors", rounded_model(), tiny_processor(), [picture], "What do you see?", tokens=3)
    (folder / "jobs.json").write_text(json.dumps([job(folder, "golden", [np.asarray(picture)], "What do you see?")]))
    node("write_golden.mjs", folder, tmp_path / "candidate.safetensors", 3)
    command = [sys.executable, "-m", "ovis2_ref", "golden", "compare", "golden.safetensors", "candidate.safetensors"]
    process = subprocess.run([*command, "--checkpoint", "."], cwd=tmp_path, capture_output=True, text=True)
    last = process.stdout.splitlines()[-1]
    assert process.returncode == 0, process.stdout
    assert last.startswith("RIGHT: ")
    assert int(last.split()[1]) > 250
