"""Folders as people have them that are not read here: the error names what they hold, and the way out."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ovis2_ref import Ovis2ForConditionalGeneration, Ovis2Processor
from ovis2_ref.checkpoint.loading import load_weights, read_config
from ovis2_ref.errors import CheckpointError
from tests.checkpoint.test_gptq import wide_config
from tests.hostile.folders import authors, change, tiny
from tests.oracle import reference_model

MATRIX = "model.language_model.layers.0.mlp.up_proj"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A plain checkpoint of transformers' layout."""
    folder = tmp_path / "checkpoint"
    reference_model(wide_config(), 0).save_pretrained(folder)
    return folder


def with_tensors(folder: Path, method: str | None, tensors: dict[str, torch.Tensor]) -> None:
    """Store `tensors` (by the endings of their names) in place of a matrix, and name the method in config.json."""
    stored = load_file(folder / "model.safetensors")
    del stored[f"{MATRIX}.weight"]
    stored |= {MATRIX + ending: tensor.clone() for ending, tensor in tensors.items()}
    save_file(stored, folder / "model.safetensors", {"format": "pt"})
    if method is not None:
        change(folder, "config.json", {"quantization_config": {"quant_method": method}})


BYTES, WORDS = torch.ones(1536, 1, dtype=torch.uint8), torch.ones(32, 12, dtype=torch.int32)
QUANTISED: dict[str, tuple[str | None, dict[str, torch.Tensor]]] = {
    "quantised by bitsandbytes": ("bitsandbytes", {".weight": BYTES, ".weight.absmax": torch.ones(48)}),
    "by bitsandbytes; plain": (None, {".weight": BYTES, ".SCB": torch.ones(48)}),
    "quantised by AWQ": ("awq", {".qweight": WORDS, ".qzeros": WORDS, ".scales": torch.ones(1, 96).half()}),
    "by AWQ; plain": (None, {".qweight": WORDS, ".qzeros": WORDS, ".scales": torch.ones(1, 96).half()}),
    "in FP8": ("fp8", {".weight": torch.ones(96, 32).to(torch.float8_e4m3fn), ".weight_scale_inv": torch.ones(1, 1)}),
    "in FP8; plain": (None, {".weight": torch.ones(96, 32).to(torch.float8_e4m3fn)}),
    "stored by compressed-tensors": ("compressed-tensors", {".weight_packed": WORDS, ".weight_scale": torch.ones(96, 1)}),
    "a program whose packing isn't known": ("hqq", {".W_q": WORDS}),
}  # fmt: skip


@pytest.mark.parametrize("words", QUANTISED)
@pytest.mark.parametrize("stream", [False, True])
def test_other_quantisations(folder: Path, words: str, stream: bool) -> None:
    with_tensors(folder, *QUANTISED[words])
    with pytest.raises(CheckpointError, match=words) as error:
        Ovis2ForConditionalGeneration.from_pretrained(folder, stream=stream)
    assert "plain weights and GPTQ are read here: " in str(error.value).splitlines()[0]


def test_a_setting_that_is_left_over(folder: Path) -> None:
    """Plain weights load, whatever config.json says about them."""
    change(folder, "config.json", {"quantization_config": {"quant_method": "bitsandbytes"}})
    assert load_weights(folder, read_config(folder))


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"model-q4_k.gguf": b"GGUF"}, "holds a GGUF file, which is llama.cpp's format"),
        (
            {"adapter_config.json": b"{}", "adapter_model.safetensors": b"x"},
            r"from_pretrained\(model, adapter=folder\)",
        ),
        ({"pytorch_model.bin": b"PK"}, "a pickle: reading one runs whatever code it contains"),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(value),
)
@pytest.mark.parametrize("with_config", [True, False])
def test_folders_without_weights(folder: Path, files: dict[str, bytes], words: str, with_config: bool) -> None:
    (folder / "model.safetensors").unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    if not with_config:
        (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=words):
        Ovis2ForConditionalGeneration.from_pretrained(folder)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("model.safetensors", POINTER, "model.safetensors is a Git LFS pointer.*git lfs pull"),
        ("config.json", POINTER, "config.json is a Git LFS pointer"),
        ("tokenizer.json", POINTER, "tokenizer.json is a Git LFS pointer"),
        ("model.safetensors", b"GGUF\x03\x00\x00\x00" + bytes(100), "is a GGUF file"),
        ("model.safetensors", b"PK\x03\x04" + bytes(100), "a pickle, which is never read"),
        ("model.safetensors", b"<!DOCTYPE html><html>Not found</html>", "is a web page: download"),
    ],
    ids=["weights", "config", "tokenizer", "gguf", "pickle", "page"],
)
def test_other_files_in_the_place(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    folder = tiny(tmp_path / "tiny")
    (folder / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=words):
        Ovis2Processor.from_pretrained(folder)
        Ovis2ForConditionalGeneration.from_pretrained(folder)


def test_a_gguf_file_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "ovis2.gguf").write_bytes(b"GGUF")
    with pytest.raises(CheckpointError, match="is a GGUF file"):
        Ovis2ForConditionalGeneration.from_pretrained(tmp_path / "ovis2.gguf")


def test_shards_without_an_index(folder: Path) -> None:
    """Loaded if all are there; one that is missing is named, and so are two files with the same weight."""
    expected = load_weights(folder, read_config(folder))
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = [f"model-{i:05d}-of-00003.safetensors" for i in (1, 2, 3)]
    for i, name in enumerate(names):
        save_file({key: tensors[key] for key in sorted(tensors)[i::3]}, folder / name)
    found = load_weights(folder, read_config(folder))
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    content = (folder / names[1]).read_bytes()
    (folder / names[1]).unlink()
    with pytest.raises(CheckpointError, match=r"lacks model-00002-of-00003\.safetensors, one of 3 shards"):
        read_config(folder)
    (folder / names[1]).write_bytes(content)
    (folder / "copy.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="two of its files hold"):
        read_config(folder)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"model_type": "ovis2_5"}, "Ovis2.5"),
        ({"model_type": "ovis2_6_moe"}, "Ovis2.6"),
        ({"model_type": "ovis_u1"}, "Ovis-U1"),
        ({"visual_tokenizer_config": {"backbone_config": {"model_type": "siglip_vision_model"}}}, "Ovis1.x"),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [Ovis2ForConditionalGeneration, Ovis2Processor])
def test_other_generations(tmp_path: Path, values: dict[str, Any], name: str, kind: Any) -> None:
    folder = authors(tmp_path / "authors")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))
    with pytest.raises(CheckpointError, match=f"holds an {name} .*another model"):
        kind.from_pretrained(folder)
