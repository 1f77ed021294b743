"""`walkthroughs/ovis2.py`, all of Ovis2 in one file, against the package: inputs, logits, answers, and what it refuses."""

import ast
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from threadpoolctl import threadpool_limits

from ovis2_ref import TINY, Ovis2Config, Ovis2ForConditionalGeneration, Ovis2Processor
from ovis2_ref.checkpoint.random_weights import random_weights
from ovis2_ref.image.filters import FILTERS, fixed_point, windows
from ovis2_ref.image.tiling import covering_grid
from ovis2_ref.tiny import SAMPLE
from ovis2_ref.tiny.training.evaluate import questions_about
from tests.bounds import expect_no_worse

FILE = Path(__file__).parent.parent / "walkthroughs" / "ovis2.py"
SAMPLES = sorted(SAMPLE.parent.glob("*.png"))
ABSENT = "import sys; sys.modules['ovis2_ref'] = sys.modules['torch'] = sys.modules['transformers'] = None\n"
"""Python raises ImportError for a module that is None there."""

specification = importlib.util.spec_from_file_location("ovis2", FILE)
ovis2 = importlib.util.module_from_spec(specification)
specification.loader.exec_module(ovis2)

sizes = st.integers(1, 30) | st.integers(1, 900) | st.sampled_from([64, 128, 192, 448])


def levels(height: int, width: int, seed: int) -> np.ndarray:
    """Return a picture of noise, (h, w, 3) bytes."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def prompt(processor: Ovis2Processor, question: str) -> str:
    content = [{"type": "image"}, {"type": "text", "text": question}]
    return processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)


class OneFile:
    """The steps of `describe` with what each makes, for a checkpoint that is read once."""

    def __init__(self, folder: Path) -> None:
        self.config, self.w = ovis2.read_config(folder), ovis2.read_weights(folder)
        self.tokenizer = ovis2.Tokenizer.from_file(str(folder / "tokenizer.json"))

    def pixels(self, picture: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
        tiles, grid = ovis2.cut_canvas(
            picture.transpose(2, 0, 1), self.config["size"]["height"], self.config["max_patches"]
        )
        return ovis2.pillow_values(tiles, self.config["image_mean"], self.config["image_std"]), grid

    def prompt(self, picture: np.ndarray, question: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the ids and the embeddings of a prompt."""
        vision, tower = self.config["vision_config"], self.w["model"]["vision_tower"]
        pixels, grid = self.pixels(picture)
        features = ovis2.vision_transformer(pixels, tower["transformer"], vision)
        tokens = ovis2.visual_tokens(ovis2.merge_patches(features, vision["hidden_stride"]), tower)
        text = ovis2.render_chat(ovis2.image_placeholder(grid, tokens.shape[1]), question)
        ids = np.array(self.tokenizer.encode(text).ids)
        return ids, ovis2.merge_embeddings(ids, tokens, self.w["model"], self.config)

    def logits(self, embeddings: np.ndarray) -> np.ndarray:
        language, text = self.w["model"]["language_model"], self.config["text_config"]
        hidden = ovis2.decoder(embeddings, language, text, [[] for _ in range(text["num_hidden_layers"])])
        return ovis2.linear(hidden, self.w.get("lm_head", language["embed_tokens"]))

    def greedy(self, embeddings: np.ndarray, most: int) -> list[int]:
        eos = self.config["eos_token_id"]
        return ovis2.greedy(embeddings, self.w, self.config["text_config"], eos, most)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Let BLAS compute on one thread: its threads wait for each other longer than these small products take."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def tiny() -> tuple[OneFile, Ovis2ForConditionalGeneration, Ovis2Processor]:
    return OneFile(TINY), Ovis2ForConditionalGeneration.from_pretrained(TINY), Ovis2Processor.from_pretrained(TINY)


def test_is_short_and_alone() -> None:
    """It has 200 lines at most, and imports nothing of the package."""
    text = FILE.read_text()
    assert len(text.splitlines()) <= 200
    nodes = list(ast.walk(ast.parse(text)))
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert modules == {"json", "sys", "pathlib", "numpy", "PIL", "safetensors", "tokenizers"}


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        ([], "A yellow triangle, a red cross and a red circle."),
        ([SAMPLE.parent / "single_tile.png", "How many shapes are there?"], "Three."),
    ],
)
def test_runs(arguments: list[Path | str], answer: str) -> None:
    """It answers on the command line without the package, torch and transformers."""
    code = ABSENT + "import runpy; sys.argv[:] = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-W", "error", "-c", code, str(FILE), *map(str, arguments)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.stdout == f"{answer}\n", process.stderr


@given(sizes, sizes)
def test_windows(size_in: int, size_out: int) -> None:
    """Every weight of a resizing pass is the package's to the bit, also where the package leaves the pass out."""
    band = windows(size_in, size_out, FILTERS["bicubic"])
    expected = band._replace(weights=fixed_point(band.weights, 22)).matrix()
    np.testing.assert_array_equal(ovis2.windows(size_in, size_out), expected)


@given(sizes, sizes, st.sampled_from([1, 5, 64, 448]), st.integers(1, 12))
def test_covering_grid(height: int, width: int, side: int, most: int) -> None:
    assert ovis2.covering_grid(height, width, side, most) == covering_grid(height, width, side, most)


@given(sizes, sizes, st.integers(0, 99))
def test_inputs(tiny, height: int, width: int, seed: int) -> None:
    """Pixel values are equal to the bit, and so are token ids."""
    one, _, processor = tiny
    picture, question = levels(height, width, seed), "What is this?"
    expected = processor(images=Image.fromarray(picture), text=prompt(processor, question), return_tensors="np")
    np.testing.assert_array_equal(one.pixels(picture)[0], expected["pixel_values"], strict=True)
    np.testing.assert_array_equal(one.prompt(picture, question)[0], expected["input_ids"][0])


def test_answers(tiny) -> None:
    """The tokens of its answers are the package's, for the samples and a request about each of a hundred scenes."""
    one, model, processor = tiny
    asked = [(np.asarray(Image.open(path).convert("RGB")), "Describe the image.") for path in SAMPLES]
    for seed in range(1000, 1100):
        scene, questions = questions_about(seed)
        asked.append((scene.render(), questions[seed % len(questions)].request))
    differing = []
    for first in range(0, len(asked), 26):
        pictures, questions = zip(*asked[first : first + 26], strict=True)
        texts = [prompt(processor, question) for question in questions]
        inputs = processor(images=list(pictures), text=texts, padding=True, padding_side="left", return_tensors="np")
        rows = model.generate(**inputs, max_new_tokens=32)[:, inputs["input_ids"].shape[1] :]
        for row, picture, question in zip(rows, pictures, questions, strict=True):
            made = one.greedy(one.prompt(picture, question)[1], 32)
            if made != row[: len(made)].tolist() or (row[len(made) :] != model.config.text_config.pad_token_id).any():
                differing.append(question)
    assert not differing


@st.composite
def configs(draw: st.DrawFn) -> Ovis2Config:
    """Two layers of each half, with the released models' functions: groups of every size, strides that don't divide the patches,
    pixels beyond the last patch, biases, heads of odd width in the tower, tied and untied.
    """
    kv_heads, vision_heads = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    patch, side = draw(st.integers(1, 6)), draw(st.integers(1, 5))
    tied = draw(st.booleans())
    vision = {
        "hidden_size": vision_heads * draw(st.integers(1, 9)),
        "intermediate_size": draw(st.integers(1, 20)),
        "num_hidden_layers": 2,
        "num_attention_heads": vision_heads,
        "image_size": side * patch + draw(st.integers(0, patch - 1)),
        "patch_size": patch,
        "qkv_bias": draw(st.booleans()),
        "mlp_bias": draw(st.booleans()),
        "hidden_stride": draw(st.integers(1, 4)),
        "vocab_size": draw(st.integers(6, 40)),
    }
    text = {
        "vocab_size": 512,
        "hidden_size": draw(st.sampled_from([7, 24])),
        "intermediate_size": draw(st.integers(1, 20)),
        "num_hidden_layers": 2,
        "num_attention_heads": kv_heads * draw(st.integers(1, 3)),
        "num_key_value_heads": kv_heads,
        "head_dim": 2 * draw(st.integers(1, 6)),
        "rope_theta": draw(st.sampled_from([1e4, 1e6])),
        "tie_word_embeddings": tied,
        "eos_token_id": 502,
    }
    return Ovis2Config(
        vision_config=vision,
        text_config=text,
        image_token_id=506,
        visual_indicator_token_ids=list(range(507, 512)),
        vocab_size=512,
        hidden_size=text["hidden_size"],
        tie_word_embeddings=tied,
    )


def save(folder: Path, config: Ovis2Config, seed: int, dtype: str, shard_bytes: int) -> None:
    """Write a model of drawn weights with the tiny model's tokenizer, in the files of transformers."""
    drawn = Ovis2ForConditionalGeneration(
        config, random_weights(config, seed, dtype), generation_config={"eos_token_id": 502}
    )
    drawn.save_pretrained(folder, max_shard_size=shard_bytes)
    processor = Ovis2Processor.from_pretrained(TINY)
    size = {"height": config.vision_config.image_size, "width": config.vision_config.image_size}
    processor.image_processor = processor.image_processor.changed({"size": size, "max_patches": 6})
    processor.image_seq_length = config.vision_config.tokens_per_tile
    processor.save_pretrained(folder)


@settings(max_examples=20)
@given(
    configs(),
    st.integers(0, 2**16),
    st.sampled_from(["float32", "bfloat16"]),
    st.sampled_from([10**9, 9000]),
    st.integers(1, 40),
    st.integers(1, 40),
)
def test_drawn_checkpoints(config, seed, dtype, shard_bytes, height, width) -> None:
    """Checkpoints of other shapes, in one file or in shards, in 32 or 16 bits: the same inputs, and logits as exact as the
    package's. Both compute in float32; the package in float64 says what is exact.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save(folder, config, seed, dtype, shard_bytes)
        one, processor = OneFile(folder), Ovis2Processor.from_pretrained(folder)
        model, exact = (
            Ovis2ForConditionalGeneration.from_pretrained(folder, dtype=kind) for kind in ("float32", "float64")
        )
    picture, question = levels(height, width, seed), "How many?"
    inputs = processor(images=Image.fromarray(picture), text=prompt(processor, question), return_tensors="np")
    np.testing.assert_array_equal(one.pixels(picture)[0], inputs["pixel_values"], strict=True)
    ids, embeddings = one.prompt(picture, question)
    np.testing.assert_array_equal(ids, inputs["input_ids"][0])
    expect_no_worse(one.logits(embeddings), model(**inputs).logits[0], exact(**inputs).logits[0])
    expected = model.generate(**inputs, max_new_tokens=5)[0, len(ids) :]
    assert one.greedy(embeddings, 5) == expected.tolist()


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("text_config", {"hidden_act": "gelu"}),
        ("vision_config", {"hidden_act": "gelu"}),
        ("vision_config", {"tokenize_function": "st_argmax"}),
        ("text_config", {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}}),
        ("text_config", {"use_sliding_window": True}),
    ],
)
def test_refuses(tmp_path: Path, part: str, change: dict) -> None:
    """A checkpoint that takes other formulas ends in one plain line, not in a wrong answer."""
    values = Ovis2Config.from_pretrained(TINY).to_dict()
    Ovis2Config.from_dict({**values, part: {**values[part], **change}}).save_pretrained(tmp_path)
    with pytest.raises(SystemExit, match=f"released.*{next(iter(change)).removesuffix('_parameters')}"):
        ovis2.read_config(tmp_path)


def test_refuses_the_authors_layout() -> None:
    with pytest.raises(SystemExit, match=r"layout of transformers.*'model_type': 'aimv2"):
        ovis2.read_config(Path(__file__).parent / "golden_original" / "checkpoint")
