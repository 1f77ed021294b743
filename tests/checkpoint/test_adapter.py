"""LoRA adapters against peft where it is installed, and against the recorded case in `adapter/` everywhere.

`adapter/` holds what peft 0.17 wrote for the authors' small checkpoint of `golden_original`: see `record` below.
"""

import json
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from ovis2_ref import Ovis2ForConditionalGeneration
from ovis2_ref.checkpoint import safetensors_file
from ovis2_ref.checkpoint.adapter import adapted
from ovis2_ref.checkpoint.conversion import convert_original
from ovis2_ref.checkpoint.loading import load_weights, read_config
from ovis2_ref.checkpoint.names import EMBEDDINGS, HEAD
from ovis2_ref.errors import CheckpointError
from ovis2_ref.tools.inspect import inspect_text
from tests.bounds import FLOAT64
from tests.checkpoint.folders import GOLDEN, copy_original_checkpoint
from tests.checkpoint.packing import pack_folder
from tests.checkpoint.test_gptq import wide_config
from tests.oracle import lifted, reference_model
from tests.strategies import seeds

try:  # peft 0.17 imports a name that transformers 5.24 no longer has
    with patch.object(sys.modules["transformers"], "HybridCache", transformers.Cache, create=True):
        import peft
except ImportError:
    peft = None
needs_peft = pytest.mark.skipif(peft is None, reason="peft is not installed")

RECORDED = Path(__file__).with_name("adapter")
LAYER = "base_model.model.model.language_model.layers.0.self_attn.q_proj"
IDS = np.arange(3, 20)[None]


def load(folder: Path, **options: Any) -> Any:
    return Ovis2ForConditionalGeneration.from_pretrained(folder, **options)


def adapter(folder: Path, settings: dict[str, Any], tensors: dict[str, np.ndarray]) -> Path:
    """Write an adapter."""
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 4, **settings}))
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def factors(rank: int = 2, out: int = 64, inputs: int = 32, key: str = LAYER) -> dict[str, np.ndarray]:
    """Two drawn factors of a matrix."""
    chance = np.random.default_rng(0)
    return {
        f"{key}.lora_A.weight": chance.standard_normal((rank, inputs)).astype(np.float32),
        f"{key}.lora_B.weight": chance.standard_normal((out, rank)).astype(np.float32),
    }


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A plain checkpoint of transformers' layout."""
    folder = tmp_path / "base"
    reference_model(wide_config(), 0).save_pretrained(folder)
    return folder


@needs_peft
@pytest.mark.filterwarnings("ignore")
@settings(max_examples=8)
@given(
    seeds, st.integers(1, 9), st.integers(1, 40), st.booleans(), st.booleans(),
    st.sampled_from(["none", "lm_head", "embed_tokens", "rms_norm1"]),
)  # fmt: skip
def test_what_peft_computes(seed: int, rank: int, alpha: int, rslora: bool, tied: bool, saved: str) -> None:
    """Drawn adapters of drawn modules, vision's too, and whole modules beside them: peft's logits and features."""
    torch.manual_seed(seed)
    chance = np.random.default_rng(seed)
    matrices = ["lm_head", "q_proj", "k_proj", "o_proj", "up_proj", "down_proj", "head_linear", "out_proj"]
    targets = [str(name) for name in chance.choice(matrices, 3, replace=False) if name != saved]
    config = peft.LoraConfig(
        r=rank, lora_alpha=alpha, use_rslora=rslora, target_modules=targets, init_lora_weights=False,
        alpha_pattern={"layers.0.self_attn.q_proj": 3, "down_proj": 11}, rank_pattern={"k_proj": 2},
        modules_to_save=None if saved == "none" else [saved],
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        base, folder = Path(name) / "base", Path(name) / "adapter"
        shape = wide_config()
        shape = replace(
            shape, tie_word_embeddings=tied, text_config=replace(shape.text_config, tie_word_embeddings=tied)
        )
        reference_model(shape, 0).save_pretrained(base)
        theirs: Any = peft.get_peft_model(reference_model(shape, 0), config)
        with torch.no_grad():
            for key, parameter in theirs.named_parameters():
                if "modules_to_save" in key:
                    parameter += torch.randn_like(parameter) * 0.1
        theirs.save_pretrained(folder)
        ours = load(base, dtype="float64", adapter=folder)
        pixels = chance.standard_normal((1, 3, 16, 16))
        with torch.no_grad(), lifted():
            theirs = theirs.double().eval()
            expected = theirs(input_ids=torch.from_numpy(IDS)).logits.numpy()
            features = theirs.base_model.model.get_image_features(torch.from_numpy(pixels)).pooler_output.numpy()
    close(ours(input_ids=IDS).logits, expected)
    close(ours.get_image_features(pixels).pooler_output, features)


def close(ours: np.ndarray, theirs: np.ndarray) -> None:
    np.testing.assert_allclose(ours, theirs.reshape(ours.shape), rtol=0, atol=FLOAT64 * abs(theirs).max())


def recorded_copy(folder: Path) -> Path:
    """Return a copy of the authors' checkpoint; the recorded adapter is not in it."""
    copy_original_checkpoint(folder)
    return folder


def test_the_recorded_adapter(tmp_path: Path) -> None:
    """Beside the weights or in a folder of its own, whole or streamed, in both layouts, converted: peft's logits."""
    base = recorded_copy(tmp_path / "base")
    expected = np.load(RECORDED / "logits.npy")
    convert_original(base, tmp_path / "converted")
    for folder in (base, tmp_path / "converted"):
        plain = load(folder, dtype="float64")(input_ids=IDS).logits
        assert abs(plain - expected).max() > 0.1
        for stream in (False, True):
            with pytest.warns(UserWarning, match="the adapter in .* was applied"):
                model = load(folder, dtype="float64", adapter=RECORDED, stream=stream)
            close(model(input_ids=IDS).logits, expected)
    for path in RECORDED.glob("adapter_*"):
        shutil.copy(path, base)
    with pytest.warns(UserWarning, match="the adapter in .* was applied"):
        close(load(base, dtype="float64")(input_ids=IDS).logits, expected)
    assert "the adapter in" in inspect_text(base)
    with pytest.raises(CheckpointError, match=r"has an adapter of its own"):
        load(base, adapter=RECORDED)
    convert_original(base, tmp_path / "merged")
    merged = load(tmp_path / "merged", dtype="float64")(input_ids=IDS).logits
    np.testing.assert_allclose(merged, expected, rtol=0, atol=64 * np.finfo(np.float32).eps * abs(expected).max())


@pytest.mark.filterwarnings("ignore:.*the adapter in")
def test_an_adapter_on_packed_weights(base: Path, tmp_path: Path) -> None:
    """Unpacked, then adapted: whole, streamed, and kept packed."""
    folder, given_factors = adapter(tmp_path / "adapter", {}, factors()), list(factors().values())
    weights = pack_folder(base, 0)
    name = "model.language_model.layers.0.self_attn.q_proj.weight"
    expected = weights[name] + np.float32(2) * (given_factors[1] @ given_factors[0])
    for options in ({}, {"stream": True}, {"keep_quantized": True}):
        model = load(base, adapter=folder, **options)
        for _ in range(2):
            np.testing.assert_allclose(model.weights[name], expected, rtol=1e-6, atol=1e-6)


@pytest.mark.filterwarnings("ignore:.*the adapter in")
def test_a_tied_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A head of its own is changed alone; a table that was trained leaves the head as it was."""
    monkeypatch.setattr(safetensors_file, "BLOCK", 100)
    base = recorded_copy(tmp_path / "base")
    plain = load_weights(base, read_config(base))
    assert HEAD not in plain
    table = plain[EMBEDDINGS]
    rows, width = table.shape
    for tensors in (
        factors(2, rows, width, "base_model.model.lm_head"),
        {"base_model.model.llm.model.embed_tokens.weight": table + 1},
    ):
        folder = adapter(tmp_path / "adapter", {}, tensors)
        config = read_config(base, adapter=folder)
        assert not config.tie_word_embeddings
        found = load_weights(base, config, adapter=folder)
        a_head = len(tensors) == 2
        np.testing.assert_array_equal(found[EMBEDDINGS], table if a_head else table + 1)
        a, b = tensors.values() if a_head else (np.zeros((1, width), np.float32), np.zeros((rows, 1), np.float32))
        np.testing.assert_array_equal(found[HEAD], adapted(table, a, b, 2.0))


REFUSED = {
    "use_dora=True": ({"use_dora": True}, {}),
    "peft_type='IA3'": ({"peft_type": "IA3"}, {}),
    "bias='all'": ({"bias": "all"}, {}),
    "init_lora_weights='pissa'": ({"init_lora_weights": "pissa"}, {}),
    "layer_replication": ({"layer_replication": [[0, 1]]}, {}),
    "without regular expressions": ({"alpha_pattern": {"(a+)+$": 3}}, {}),
    "alpha=nan should be a number": ({"lora_alpha": float("nan")}, {}),
    "alpha='a' should be a number": ({"lora_alpha": "a"}, {}),
    "needs two matrices": ({}, {"lora_B": None}),
    "which this model doesn't have": ({}, {"other": True}),
    "which don't make": ({}, {"lora_B": (31, 2)}),
    "lm_head.weight: adapted by": ({}, {"head": (31, 2)}),
}


@pytest.mark.parametrize("words", REFUSED)
def test_adapters_that_are_refused(base: Path, tmp_path: Path, words: str) -> None:
    settings_, changes = REFUSED[words]
    tensors = factors(key=LAYER.replace("q_proj", "z_proj") if "other" in changes else LAYER)
    if "head" in changes:
        tensors = factors(2, 31, 32, "base_model.model.lm_head")
    for factor in (name for name in changes if name.startswith("lora")):
        shape = changes[factor]
        del tensors[f"{LAYER}.{factor}.weight"]
        tensors |= {} if shape is None else {f"{LAYER}.{factor}.weight": np.ones(shape, np.float32)}
    folder = adapter(tmp_path / "adapter", settings_, tensors)
    with pytest.raises(CheckpointError, match=words):
        load(base, adapter=folder)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "base_model.model.", "module._orig_mod."])
def test_prefixes(base: Path, prefix: str) -> None:
    """Names with what training programs put in front: the same weights, and one line that says so."""
    expected = load_weights(base, read_config(base))
    path = base / "model.safetensors"
    tensors = {f"{prefix}{name}": tensor for name, tensor in load_file(path).items()}
    save_file(tensors, path)
    with pytest.warns(UserWarning, match=f"all weights are called {prefix.partition('.')[0]}") as told:
        found = load_weights(base, read_config(base))
    assert len(told) == 1
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    save_file(tensors | {f"{prefix}x": np.zeros(1, np.float32)}, path)
    with pytest.raises(CheckpointError, match="x: extra"):
        load_weights(base, read_config(base))


def test_left_over_buffers(base: Path) -> None:
    """Buffers of angles, and the zeros that programs for GPTQ store as biases, are left out; a bias that counts is a fault."""
    pack_folder(base, 0)
    expected = load_weights(base, read_config(base))
    path = base / "model.safetensors"
    tensors = load_file(path)
    tensors["model.language_model.layers.1.self_attn.rotary_emb.inv_freq"] = np.ones(8, np.float32)
    bias = "model.language_model.layers.1.mlp.down_proj.bias"
    tensors[bias] = np.zeros(32, np.float16)
    save_file(tensors, path)
    with pytest.warns(UserWarning, match="was left out, and 1 more"):
        found = load_weights(base, read_config(base))
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    tensors[bias][3] = 1
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match=f"{bias}: extra"):
        load_weights(base, read_config(base))


def record() -> None:
    """Write the recorded case with peft: an adapter of the language model and of the ViT, and its logits in float64."""
    with tempfile.TemporaryDirectory() as name:
        convert_original(GOLDEN, Path(name) / "base")
        model = transformers.Ovis2ForConditionalGeneration.from_pretrained(Path(name) / "base")
    targets = ["q_proj", "v_proj", "down_proj", "out_proj"]
    torch.manual_seed(0)
    config = peft.LoraConfig(r=4, lora_alpha=6, target_modules=targets, init_lora_weights=False)
    model.name_or_path = "base"
    adapted_model: Any = peft.get_peft_model(model, config)
    adapted_model.save_pretrained(RECORDED)
    (RECORDED / "README.md").unlink()
    with torch.no_grad(), lifted():
        logits = adapted_model.double().eval()(input_ids=torch.from_numpy(IDS)).logits
    np.save(RECORDED / "logits.npy", logits.numpy())


if __name__ == "__main__":
    record()
