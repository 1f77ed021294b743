"""Loading against transformers: checkpoints that its `save_pretrained` writes, of drawn configurations in every variation of
files and types, have to give its configuration and, bit for bit, its weights, loaded whole and streamed.
"""

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from ovis2_ref.checkpoint import safetensors_file
from ovis2_ref.checkpoint.loading import StreamedWeights, load_weights, read_config, read_generation_config
from ovis2_ref.checkpoint.names import EMBEDDINGS, HEAD, expected_shapes
from ovis2_ref.config import Ovis2Config
from ovis2_ref.errors import CheckpointError
from tests.oracle import TORCH_DTYPES, reference_model, to_numpy
from tests.strategies import ovis2_configs, seeds

dtypes = st.sampled_from(sorted(TORCH_DTYPES))


def assert_same_weights(weights, expected):
    """The same names, types and bits."""
    assert set(weights) == set(expected)
    for name, array in expected.items():
        assert weights[name].dtype == array.dtype, name
        assert weights[name].shape == array.shape, name
        assert weights[name].tobytes() == array.tobytes(), name


@given(ovis2_configs(), seeds, dtypes, dtypes, st.booleans(), st.booleans(), st.booleans())
def test_weights_that_transformers_saves(config, seed, stored, computed, mixed, sharded, head_stored):
    model = reference_model(config, seed, stored)
    if mixed:
        for parameter in list(model.parameters())[::2]:
            parameter.data = parameter.data.to(torch.bfloat16)
    expected = {name: to_numpy(tensor.to(TORCH_DTYPES[computed])) for name, tensor in model.state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder, max_shard_size="20KB" if sharded else "1GB")
        if head_stored and config.tie_word_embeddings and not sharded:
            path = Path(folder) / "model.safetensors"
            tensors = load_file(path)
            save_file({**tensors, HEAD: tensors[EMBEDDINGS].clone()}, path, {"format": "pt"})
        found = read_config(folder)
        loaded = load_weights(folder, found, computed)
        streamed = StreamedWeights(folder, found, computed)
        assert found == replace(config, text_config=replace(config.text_config, **model_ids(folder)))
        if config.tie_word_embeddings:
            assert (expected.pop(HEAD) == expected[EMBEDDINGS]).all()
        assert_same_weights(loaded, expected)
        assert_same_weights(streamed, expected)
        assert list(streamed) == list(loaded) == list(expected_shapes(config))


def model_ids(folder):
    """Return the ids that transformers fills in by itself: they are none of ours."""
    text = json.loads((Path(folder) / "config.json").read_text())["text_config"]
    return {name: text.get(name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}


@pytest.mark.parametrize("in_whole", [True, False, None])
@pytest.mark.parametrize("in_text", [True, False])
@pytest.mark.parametrize("head", ["equal", "different", "absent"])
def test_which_head_counts(tmp_path, monkeypatch, small_config, in_whole, in_text, head):
    """Every way to say, or not to say, that the head is tied, against the head that transformers 5 ends up with. A head that
    differs does so in its last number alone.
    """
    monkeypatch.setattr(safetensors_file, "BLOCK", 100)
    if int(transformers.__version__.split(".")[0]) < 5:
        pytest.skip("4.56 asks text_config alone, and overwrites a stored head that differs")
    reference_model(small_config, 0).save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = {name: tensor for name, tensor in load_file(path).items() if name != HEAD}
    if head != "absent":
        tensors[HEAD] = tensors[EMBEDDINGS].clone()
        tensors[HEAD][-1, -1] += head == "different"
    save_file(tensors, path, {"format": "pt"})
    values = json.loads((tmp_path / "config.json").read_text())
    values.pop("tie_word_embeddings", None)
    values |= {} if in_whole is None else {"tie_word_embeddings": in_whole}
    values["text_config"]["tie_word_embeddings"] = in_text
    (tmp_path / "config.json").write_text(json.dumps(values))
    config = read_config(tmp_path)
    if head == "absent" and in_whole is False:
        if not in_text:  # transformers 5 draws a new head, with a warning; 4.56 ties where text_config says so
            with pytest.raises(CheckpointError, match=r"lm_head.weight: missing, shape \("):
                load_weights(tmp_path, config)
        return
    weights = load_weights(tmp_path, config)
    reference = transformers.Ovis2ForConditionalGeneration.from_pretrained(tmp_path).state_dict()[HEAD]
    ours = weights[EMBEDDINGS if config.tie_word_embeddings else HEAD]
    assert (ours == reference.numpy()).all()
    assert config.tie_word_embeddings == config.text_config.tie_word_embeddings


def test_configuration_as_transformers_4_56_writes_it(tmp_path):
    """Ovis2-1B's config.json in 4.56's spelling (`rope_theta`, an empty vision model_type, defaults left out)."""
    shutil.copy(Path(__file__).with_name("config_4_56.json"), tmp_path / "config.json")
    expected = Ovis2Config.preset("Ovis2-1B")
    assert read_config(tmp_path) == expected == Ovis2Config.from_pretrained(tmp_path)


def test_generation_config(tmp_path):
    assert read_generation_config(tmp_path) == {}
    transformers.GenerationConfig(eos_token_id=[5, 6], repetition_penalty=1.5).save_pretrained(tmp_path)
    found = read_generation_config(tmp_path)
    assert found["eos_token_id"] == [5, 6]
    assert found["repetition_penalty"] == 1.5


def test_all_faults_in_one_message(tmp_path, small_config):
    """A missing, an extra, a misshapen, an integer and two non-finite weights: all named, with what was expected of them."""
    model = reference_model(small_config, 0)
    model.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    norm, bias = "model.language_model.norm.weight", "model.language_model.layers.0.self_attn.k_proj.bias"
    del tensors[norm]
    tensors["model.head_of_another.weight"] = torch.zeros(3)
    tensors["model.vision_tower.head_norm.bias"] = torch.zeros(7, 2)
    tensors["model.vision_tower.head_norm.weight"] = tensors["model.vision_tower.head_norm.weight"].long()
    tensors["model.visual_embeddings_table.weight"][-1, -1] = torch.nan
    tensors[bias][0] = -torch.inf
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(CheckpointError) as error:
        load_weights(tmp_path, read_config(tmp_path))
    hidden, words = small_config.hidden_size, small_config.vision_config.vocab_size - 5
    assert set(str(error.value).splitlines()[1:]) == {
        f"  {norm}: missing, shape ({hidden},) expected",
        "  model.head_of_another.weight: extra, not a part of this model (shape (3,))",
        f"  model.vision_tower.head_norm.bias: misshapen, (7, 2) where ({words},) was expected",
        "  model.vision_tower.head_norm.weight: stored as I64; one of F64, F32, F16, BF16 expected",
        f"  model.visual_embeddings_table.weight: not finite as float32 (shape {(words + 5, hidden)})",
        f"  {bias}: not finite as float32 (shape {tuple(tensors[bias].shape)})",
    }
    tensors[norm] = torch.ones(hidden)
    with pytest.raises(CheckpointError, match="head_of_another"):
        StreamedWeights(tmp_path, read_config(tmp_path))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_numbers_too_large_for_the_type_are_named(tmp_path, small_config, dtype):
    """3.4e38 is a float32; rounded to bfloat16 or float16 it is infinite. Streaming finds it when it is looked up."""
    model = reference_model(small_config, 0)
    with torch.no_grad():
        model.model.language_model.norm.weight[1] = 3.4028234e38
    model.save_pretrained(tmp_path)
    config = read_config(tmp_path)
    assert np.isfinite(load_weights(tmp_path, config, "float64")["model.language_model.norm.weight"]).all()
    with pytest.raises(CheckpointError, match=f"language_model.norm.weight: not finite as {dtype}"):
        load_weights(tmp_path, config, dtype)
    streamed = StreamedWeights(tmp_path, config, dtype)
    assert streamed[EMBEDDINGS] is streamed[EMBEDDINGS]
    with pytest.raises(CheckpointError, match=f"language_model.norm.weight: not finite as {dtype}"):
        streamed["model.language_model.norm.weight"]
    with pytest.raises(KeyError):
        streamed["model.language_model.norm.bias"]
