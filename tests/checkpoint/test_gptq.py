"""GPTQ folders: numbers against the published formula, written out one number at a time in `packing.py`, and logits against
transformers with the unpacked weights. Sizes are multiples of 32, as GPTQ needs them.
"""

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from ovis2_ref import Ovis2ForConditionalGeneration
from ovis2_ref.checkpoint import loading, packed
from ovis2_ref.checkpoint.conversion import convert_original
from ovis2_ref.checkpoint.gptq import dequantize, plain_zeros, unpack
from ovis2_ref.checkpoint.loading import StreamedWeights, load_weights, read_config
from ovis2_ref.checkpoint.packed import PackedTensor
from ovis2_ref.checkpoint.weight_files import open_weights
from ovis2_ref.errors import CheckpointError
from ovis2_ref.tools.inspect import inspect_text
from tests.bounds import FLOAT64
from tests.checkpoint.folders import GOLDEN, copy_original_checkpoint, small_config
from tests.checkpoint.packing import FORMS, Packed, pack_folder, words
from tests.oracle import lifted, reference_model
from tests.strategies import seeds

LAYER = "model.language_model.layers.0.self_attn.q_proj"


def wide_config():
    """A small configuration whose language model has sizes that GPTQ can pack."""
    config = small_config()
    text = replace(config.text_config, hidden_size=32, intermediate_size=96, head_dim=16, num_key_value_heads=2)
    return replace(config, text_config=text, hidden_size=32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A plain checkpoint of transformers' layout."""
    reference_model(wide_config(), 0, "float16").save_pretrained(tmp_path)
    return tmp_path


@given(
    seeds, st.sampled_from([2, 4, 8]), st.sampled_from([32, 64, 128, -1]), st.booleans(), st.sampled_from(FORMS), st.booleans()
)  # fmt: skip
def test_numbers(seed: int, bits: int, group: int, act_order: bool, form: str, sym: bool) -> None:
    """Every case of bits, groups, order and zero points; sizes that leave the last group short, too."""
    if "called" in form:
        sym = True  # nothing else shows what an asymmetric file holds
    chance = np.random.default_rng(seed)
    out, inputs = (16 * int(n) for n in chance.integers(1, 12, 2))
    matrix = Packed(chance, out, inputs, bits, group, act_order, form, sym)
    config = {
        "sym": sym,
        "checkpoint_format": {"v2 called gptq": "gptq", "v1 called gptq_v2": "gptq_v2"}.get(form, form),
    }
    with tempfile.TemporaryDirectory() as name:
        save_file({f"{LAYER}.{part}": array for part, array in matrix.tensors.items()}, Path(name) / "a.safetensors")
        (Path(name) / "config.json").write_text(json.dumps({"quantization_config": config}))
        (found,) = open_weights(name).values()
        assert found.fault((out, inputs)) is None
        assert isinstance(found, PackedTensor)
        assert (found.bits, found.shape) == (bits, matrix.weight.shape)
        np.testing.assert_array_equal(found.read(np.dtype(np.float32)), matrix.weight)
        for dtype in (np.float16, np.float64, ml_dtypes.bfloat16):
            np.testing.assert_array_equal(found.read(np.dtype(dtype)), matrix.weight.astype(dtype))


@given(seeds, st.sampled_from([2, 4, 8]))
def test_words(seed: int, bits: int) -> None:
    """Numbers come out of their words in order; adding one to each number of a word undoes taking it away, zeros included."""
    numbers = np.random.default_rng(seed).integers(0, 2**bits, 64)
    stored = np.array([words(numbers.tolist(), bits, False)], np.int32)
    np.testing.assert_array_equal(unpack(stored.T, bits)[:, 0], numbers)
    less = np.array([words(numbers.tolist(), bits, True)], np.int32)
    np.testing.assert_array_equal(plain_zeros(less, bits), stored)


@pytest.mark.parametrize("act_order", [False, True])
def test_against_torch(act_order: bool) -> None:
    """The same numbers from torch's operations, as GPTQModel's layer unpacks them (`TorchQuantLinear.dequantize_weight`)."""
    matrix = Packed(np.random.default_rng(1), 64, 96, 4, 32, act_order, "gptq_v2", False)
    t = {name: torch.from_numpy(array) for name, array in matrix.tensors.items()}
    shifts = torch.arange(0, 32, 4, dtype=torch.int32)
    zeros = (t["qzeros"].unsqueeze(2) >> shifts).bitwise_and(15).reshape(t["scales"].shape)
    weight = (t["qweight"].unsqueeze(1) >> shifts[None, :, None]).bitwise_and(15).reshape(96, 64)
    expected = t["scales"].float()[t["g_idx"].long()] * (weight - zeros[t["g_idx"].long()])
    np.testing.assert_array_equal(dequantize(*matrix.tensors.values(), bits=4), expected.T.numpy())


@pytest.mark.parametrize(
    ("form", "bits", "group", "act_order"),
    [(FORMS[0], 4, 32, True), (FORMS[1], 8, -1, False), (FORMS[2], 2, 16, True), (FORMS[3], 4, 32, False)],
)
def test_whole_and_streamed_folders(
    folder: Path, monkeypatch: pytest.MonkeyPatch, form: str, bits: int, group: int, act_order: bool
) -> None:
    """Loaded, streamed, kept packed: the same numbers; and transformers, given them, has the same logits."""
    monkeypatch.setattr(packed, "BLOCK", 100)
    weights = pack_folder(folder, 3, bits, group, act_order, form, left_out=("layers.1.mlp",))
    config = read_config(folder)
    loaded = load_weights(folder, config)
    assert len(weights) == 11
    for name, weight in weights.items():
        np.testing.assert_array_equal(loaded[name], weight)
    for keep in (False, True):
        streamed = StreamedWeights(folder, config, keep_packed=keep)
        for _ in range(2):
            assert all(np.array_equal(streamed[name], loaded[name]) for name in loaded)
    theirs = reference_model(config, 0)
    theirs.load_state_dict({name: torch.from_numpy(np.ascontiguousarray(weight)) for name, weight in loaded.items()})
    ids = np.arange(40)[None]
    with torch.no_grad(), lifted():
        expected = theirs.double()(torch.from_numpy(ids)).logits.numpy()
    for options in ({}, {"stream": True}, {"keep_quantized": True}):
        model: Any = Ovis2ForConditionalGeneration.from_pretrained(folder, dtype="float64", **options)
        np.testing.assert_allclose(model(input_ids=ids).logits, expected, rtol=0, atol=FLOAT64 * abs(expected).max())


def test_the_authors_layout(tmp_path: Path) -> None:
    """A GPTQ folder of the authors' layout, its settings in quantize_config.json, its file called as AutoGPTQ calls it."""
    copy_original_checkpoint(tmp_path / "authors")
    authors = tmp_path / "authors"
    weights = pack_folder(authors, 5, form="gptq")
    values = json.loads((authors / "config.json").read_text())
    (authors / "quantize_config.json").write_text(json.dumps(values.pop("quantization_config")))
    (authors / "config.json").write_text(json.dumps(values))
    (authors / "model.safetensors").rename(authors / "gptq_model-4bit-32g.safetensors")
    for convention in ("original", "transformers"):
        found = load_weights(authors, read_config(authors, convention))
        assert all(np.array_equal(found[name], weight) for name, weight in weights.items())
    text = inspect_text(authors)
    assert f"{len(weights)} in GPTQ of 4 bits in groups of 32" in text
    convert_original(authors, tmp_path / "plain")
    converted = load_weights(tmp_path / "plain", read_config(tmp_path / "plain"))
    assert all(np.array_equal(converted[name], weight.astype(np.float16)) for name, weight in weights.items())


def test_converting_transformers_layout(tmp_path: Path) -> None:
    """Packed weights are unpacked, everything else stays; a plain folder has nothing to convert."""
    convert_original(GOLDEN, tmp_path / "plain")
    with pytest.raises(CheckpointError, match="model_type 'ovis2' and has plain weights"):
        convert_original(tmp_path / "plain", tmp_path / "out")
    expected = load_weights(tmp_path / "plain", read_config(tmp_path / "plain"))
    weights = pack_folder(tmp_path / "plain", 3, group=16)
    convert_original(tmp_path / "plain", tmp_path / "out")
    found = load_weights(tmp_path / "out", read_config(tmp_path / "out"))
    for name, weight in found.items():
        np.testing.assert_array_equal(weight, weights[name].astype(np.float16) if name in weights else expected[name])
    assert "quantization_config" not in json.loads((tmp_path / "out" / "config.json").read_text())


def test_where_weights_would_not_fit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packed weights stay packed if asked, or if memory is short; plain checkpoints are loaded whole."""
    kept = Ovis2ForConditionalGeneration.from_pretrained
    assert isinstance(kept(folder, keep_quantized=True).weights, dict)
    pack_folder(folder, 3)
    assert isinstance(kept(folder).weights, dict)
    monkeypatch.setattr(loading, "available_memory", lambda: 1000)
    assert isinstance(kept(folder).weights, StreamedWeights)
    assert isinstance(kept(folder, keep_quantized=False).weights, dict)
    monkeypatch.setattr(loading, "available_memory", lambda: None)
    assert isinstance(kept(folder).weights, dict)


def damaged(folder: Path, **changes: Any) -> None:
    """Change the parts of one packed matrix."""
    tensors = load_file(folder / "model.safetensors")
    for part, change in changes.items():
        tensors[f"{LAYER}.{part}"] = np.ascontiguousarray(change(tensors.pop(f"{LAYER}.{part}")))
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("changes", "words_"),
    [
        ({"g_idx": lambda g: g + 1}, "names groups from 1 to 1; there are 1"),
        ({"g_idx": lambda g: g - 1}, "names groups from -1 to -1"),
        ({"g_idx": lambda g: g[:-8]}, r"misshapen, packed \(64, 24\)"),
        ({"g_idx": lambda g: g.astype(np.int64)}, "packed as I32, I32, F16, I64"),
        ({"g_idx": lambda g: g[:, None]}, "misshapen, packed"),
        ({"qweight": lambda q: q[:3]}, "packed in 3 bits; GPTQ of 2, 4, 8 bits can be read"),
        ({"qweight": lambda q: q[:, :8]}, r"misshapen, packed \(8, 32\)"),
        ({"qzeros": lambda z: z[:, :-1]}, "which don't fit"),
        ({"scales": lambda s: s[:, :1]}, "which don't fit"),
        ({"scales": lambda s: s * np.float16(np.inf)}, "not finite as float32"),
        ({"scales": lambda s: s[:0], "qzeros": lambda z: z[:0]}, "which don't fit"),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(value),
)  # fmt: skip
def test_damaged_parts(folder: Path, changes: dict[str, Any], words_: str) -> None:
    pack_folder(folder, 3)
    damaged(folder, **changes)
    config = read_config(folder)
    with pytest.raises(CheckpointError, match=words_):
        load_weights(folder, config)
    for keep in (True, False):
        with pytest.raises(CheckpointError, match=words_):
            StreamedWeights(folder, config, keep_packed=keep)[f"{LAYER}.weight"]


def test_other_kernels(folder: Path) -> None:
    pack_folder(folder, 3, form="marlin")
    with pytest.raises(CheckpointError, match=r"packed for other kernels .*'marlin'"):
        read_config(folder)
