"""Settings in a checkpoint's files that would fill the memory, never end or raise another library's error: each is refused where
it is read, and the message says the bound.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ovis2_ref import Ovis2ForConditionalGeneration, Ovis2Processor
from ovis2_ref.checkpoint.conversion import convert_original
from ovis2_ref.checkpoint.weight_files import open_weights
from ovis2_ref.image.processor import Ovis2ImageProcessor, Ovis2ImageProcessorFast
from ovis2_ref.text.tokenizer import Tokenizer
from tests.hostile.bounded import Outcome, bounded
from tests.hostile.folders import AUTHORS, authors, change, tiny

GROWTH = 2**28
"""Bytes that a refusal takes at most."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the tiny checkpoint."""
    return tiny(tmp_path / "checkpoint")


def refused(case: Callable[[], Any], seconds: float = 20.0) -> Outcome:
    """Run `case`, which has to be refused, soon and cheaply."""
    outcome = bounded(case, seconds)
    assert outcome.kind == "refused", outcome
    assert outcome.peak < GROWTH, outcome
    assert len(outcome.message) < 1000
    return outcome


PROMPT = np.array([[3, 5, 7]])

GENERATION = [
    ({"length_penalty": 1e10, "num_beams": 2}, "from -50 to 50"),
    ({"length_penalty": 2**63, "num_beams": 2}, "from -50 to 50"),
    ({"max_new_tokens": 10**8}, "from 1 to 131072"),
    ({"max_length": 10**9}, "from 1 to 131072"),
    ({"pad_token_id": 2**70}, "from 0 to 2147483647"),
    ({"eos_token_id": [2**70]}, "a token id or a list"),
    ({"repetition_penalty": 10**400}, "from 1e-30 to 1e[+]30"),
    ({"repetition_penalty": float("nan")}, "from 1e-30"),
    ({"exponential_decay_length_penalty": 5}, "a pair"),
    ({"exponential_decay_length_penalty": [1, 10**400]}, "a pair"),
    ({"exponential_decay_length_penalty": [2**70, 1.5]}, "a pair"),
    ({"num_beams": 10**9}, "from 1 to 1024"),
    ({"do_sample": True, "num_return_sequences": 10**9}, "from 1 to 65536"),
    ({"do_sample": True, "temperature": 10**400}, "from 1e-30"),
    ({"do_sample": True, "temperature": 5e-324}, "from 1e-30"),
    ({"do_sample": True, "top_k": 2**70}, "from 0 to"),
    ({"do_sample": True, "typical_p": 10**400}, "from 1e-30"),
    ({"sequence_bias": [[[3], 10**400]]}, "pairs"),
    ({"no_repeat_ngram_size": 2**70}, "from 0 to"),
    ({"early_stopping": [True]}, "True, False, 'never'"),
    ({"guidance_scale": "9" * 10**5}, "not supported here"),
]


@pytest.mark.parametrize(("values", "bound"), GENERATION, ids=lambda part: str(part)[:60])
def test_generation_config(folder: Path, values: dict[str, Any], bound: str) -> None:
    change(folder, "generation_config.json", values)
    outcome = refused(lambda: Ovis2ForConditionalGeneration.from_pretrained(folder).generate(PROMPT))
    assert (
        next(name for name in values if name not in ("num_beams", "do_sample") or len(values) == 1) in outcome.message
    )
    assert re.search(bound, outcome.message), outcome.message


IMAGES = [
    {"crop_size": 10**6, "do_center_crop": True},
    {"crop_size": {"height": 10**400, "width": 4}},
    {"size": 10**6},
    {"size": {"height": 9500, "width": 9500}},
    {"size": {"shortest_edge": 10**400}},
    {"max_patches": 10**6},
    {"rescale_factor": 10**400},
    {"image_mean": [10**400] * 3},
    {"pillow": ["12.1"]},
    {"data_format": {}},
    {"do_resize": "yes"},
]


@pytest.mark.parametrize("values", IMAGES, ids=lambda values: str(values)[:60])
def test_image_processor(folder: Path, values: dict[str, Any]) -> None:
    change(folder, "processor_config.json", values, "image_processor")
    outcome = refused(lambda: Ovis2Processor.from_pretrained(folder))
    assert next(iter(values)) in outcome.message


@pytest.mark.parametrize("kind", [Ovis2ImageProcessor, Ovis2ImageProcessorFast])
def test_horizontal_first_on_a_strip(kind: type) -> None:
    """A picture of 1 x 262,144 resized rows first makes all its rows wide before any is dropped."""
    strip = np.zeros((2**18, 1, 3), np.uint8)
    order = {"pillow": "12.1"} if kind is Ovis2ImageProcessor else {}
    refused(lambda: kind(size=5000, **order)(strip))
    refused(lambda: kind(size={"height": 4, "width": 2**18}, **order)(strip))


def test_many_large_tiles() -> None:
    picture = np.zeros((16, 16, 3), np.uint8)
    options = {"size": 4, "crop_to_patches": True, "max_patches": 256}
    refused(lambda: Ovis2ImageProcessor(do_center_crop=True, crop_size=9000, **options)(picture))
    refused(lambda: Ovis2ImageProcessor("original", size=9000, max_patches=256)(np.zeros((9, 2**18, 3), np.uint8)))


@pytest.mark.parametrize("length", [2**20, 10**400, 5000, 0, True, "256"])
def test_image_seq_length(folder: Path, length: Any) -> None:
    change(folder, "processor_config.json", {"image_seq_length": length})
    assert "image_seq_length" in refused(lambda: Ovis2Processor.from_pretrained(folder)).message


def test_visual_tokens_of_one_call(folder: Path) -> None:
    processor = Ovis2Processor.from_pretrained(folder)
    processor.image_seq_length = 4096
    pictures = [np.zeros((8, 8, 3), np.uint8)] * 300
    refused(lambda: processor(images=pictures, text="<image>" * 300, crop_to_patches=False))


@pytest.mark.parametrize(
    ("part", "values"),
    [
        ("vision_config", {"image_size": 316, "patch_size": 1}),
        ("vision_config", {"image_size": 2**31, "patch_size": 1}),
        ("vision_config", {"num_hidden_layers": 10**400}),
        ("text_config", {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}),
        ("text_config", {"rope_parameters": {"rope_type": "linear", "factor": 10**400}}),
        ("text_config", {"rope_parameters": {"rope_type": "9" * 5000}}),
        ("text_config", {"hidden_size": "9" * 10**5}),
    ],
    ids=lambda part: str(part)[:60],
)
def test_model_config(folder: Path, part: str, values: dict[str, Any]) -> None:
    change(folder, "config.json", values, part)
    refused(lambda: Ovis2ForConditionalGeneration.from_pretrained(folder))


def test_yarn_without_factor(folder: Path) -> None:
    """The factor follows from the two lengths, as in transformers."""
    rope = {"rope_type": "yarn", "rope_theta": 1e4, "original_max_position_embeddings": 64}
    results = []
    for given in ({}, {"factor": None}, {"factor": 4.0}):
        change(
            folder, "config.json", {"rope_parameters": {**rope, **given}, "max_position_embeddings": 256}, "text_config"
        )
        results.append(Ovis2ForConditionalGeneration.from_pretrained(folder)(PROMPT).logits)
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


@pytest.mark.parametrize("count", [4, 6])
def test_indicators(folder: Path, count: int) -> None:
    """A model may have any number of them, a processor's layout has five."""
    config = json.loads((folder / "config.json").read_text())
    ids = config["visual_indicator_token_ids"]
    change(folder, "config.json", {"visual_indicator_token_ids": [*ids, 1][:count]})
    change(folder, "config.json", {"num_visual_indicator_tokens": count}, "vision_config")
    assert "needs 5" in refused(lambda: Ovis2Processor.from_pretrained(folder)).message


def tokenizer_folder(tmp_path: Path, **changes: Any) -> Path:
    """Return the golden checkpoint's tokenizer with `changes` of tokenizer.json (model__vocab: of its part)."""
    authors(tmp_path / "tokenizer")
    path = tmp_path / "tokenizer" / "tokenizer.json"
    values = json.loads(path.read_text())
    for name, value in changes.items():
        part, _, key = name.rpartition("__")
        (values[part] if part else values)[key] = value
    path.write_text(json.dumps(values))
    return tmp_path / "tokenizer"


def test_many_special_tokens(tmp_path: Path) -> None:
    """As many as a file can name; in a time that grows with their number."""
    folder = tokenizer_folder(tmp_path)
    change(folder, "tokenizer_config.json", {"additional_special_tokens": [f"<{i:x}>" for i in range(100_000)]})
    outcome = bounded(lambda: len(Tokenizer.from_pretrained(folder)), 60)
    assert outcome.kind in ("right", "refused"), outcome
    assert outcome.seconds < 15
    assert outcome.peak < GROWTH


@pytest.mark.parametrize("token_id", [2**32 - 2, 2**20, -1, 10**400, "5", None])
def test_vocabulary_ids(tmp_path: Path, token_id: Any) -> None:
    """The library takes memory for every id up to the largest, and aborts the process if there is none."""
    vocabulary = json.loads((AUTHORS / "tokenizer.json").read_text())["model"]["vocab"]
    folder = tokenizer_folder(tmp_path, model__vocab={**vocabulary, "zzz": token_id})

    def case() -> None:
        Tokenizer.from_pretrained(folder).save_pretrained(tmp_path / "out")

    refused(case)
    added = [{"id": token_id, "content": "zzz"}]
    folder = tokenizer_folder(tmp_path / "added", added_tokens=added)
    refused(case)


@pytest.mark.parametrize("flag", ["lstrip", "rstrip"])
def test_white_space_that_strips_white_space(tmp_path: Path, flag: str) -> None:
    """The library panics where such tokens meet."""
    flags = dict.fromkeys(("lstrip", "rstrip", "single_word", "normalized", "special"), False)
    tokens = [{"id": 340 + i, "content": text, **flags, flag: True} for i, text in enumerate(["\n", " "])]
    folder = tokenizer_folder(tmp_path, added_tokens=tokens)
    refused(lambda: Tokenizer.from_pretrained(folder).encode("a \n b"))
    folder = tokenizer_folder(tmp_path / "config")
    change(folder, "tokenizer_config.json", {"added_tokens_decoder": {str(t["id"]): t for t in tokens}})
    refused(lambda: Tokenizer.from_pretrained(folder).encode("a \n b"))


def test_a_panic_is_our_error(tmp_path: Path) -> None:
    """Whatever else makes the library panic: such tokens, added by hand."""
    import tokenizers

    def case() -> None:
        tokenizer = Tokenizer.from_pretrained(AUTHORS)
        tokenizer._backend.add_tokens(
            [tokenizers.AddedToken("\n", lstrip=True), tokenizers.AddedToken(" ", rstrip=True)]
        )
        tokenizer.encode("a \n b")

    assert "can't be tokenised" in refused(case).message


@pytest.mark.slow  # a minute
def test_a_large_tokenizer(tmp_path: Path) -> None:
    """32 MiB of the JSON that takes most memory."""
    folder = tokenizer_folder(tmp_path)
    path = folder / "tokenizer.json"
    path.write_text(path.read_text()[:-1] + ', "more": [' + "{}," * (10 * 2**20) + "{}]}")
    outcome = bounded(lambda: Tokenizer.from_pretrained(folder) and None, 60)
    assert outcome.kind in ("right", "refused"), outcome
    assert outcome.peak < 2**30, outcome


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("depth", [60, 300, 900])
def test_nested_settings(tmp_path: Path, name: str, depth: int) -> None:
    """Settings that are copied while converting."""
    authors(tmp_path / "authors")
    path = tmp_path / "authors" / name
    settings = path.read_text().rstrip()[:-1] + "," if path.exists() else "{"
    path.write_text(settings + '"nested": ' + "[" * depth + "]" * depth + "}")
    assert "nested" in refused(lambda: convert_original(tmp_path / "authors", tmp_path / "out")).message


@pytest.mark.parametrize("shape", [[0, 2**62, 2**62], [2**62, 2**62, 0], [0, 2**63 - 1]])
def test_shapes_beyond_an_address(tmp_path: Path, shape: list[int]) -> None:
    """A table of no bytes, whose shape can't be an array's."""
    header = json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}).encode()
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    refused(lambda: open_weights(tmp_path)["a"].read(np.dtype("float32")))
