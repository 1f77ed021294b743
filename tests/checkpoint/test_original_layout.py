"""The authors' layout in other file sets than the one that is carried here: in shards, of other number types, with a stored head.

The names and shapes are checked where it is converted (test_saving.py) and by what the authors' program computed with them.
"""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from ovis2_ref import Ovis2ForConditionalGeneration
from ovis2_ref.checkpoint.loading import load_weights, read_config
from ovis2_ref.checkpoint.names import HEAD
from ovis2_ref.errors import CheckpointError
from tests.checkpoint.folders import GOLDEN, copy_original_checkpoint
from tests.oracle import TORCH_DTYPES, to_numpy

TABLE_KEY, HEAD_KEY = "llm.model.embed_tokens.weight", "llm.lm_head.weight"


@pytest.mark.parametrize("convention", ["transformers", "original"])
@pytest.mark.parametrize("stored", ["float32", "float16", "bfloat16", "mixed"])
@pytest.mark.parametrize("head", ["absent", "equal", "different"])
def test_variations(tmp_path, convention, stored, head):
    folder = tmp_path / "authors"
    copy_original_checkpoint(folder)
    tensors = load_file(folder / "model.safetensors")
    if head != "absent":
        tensors[HEAD_KEY] = tensors[TABLE_KEY] + (head == "different")
    types = [torch.float16, torch.bfloat16] if stored == "mixed" else [TORCH_DTYPES[stored]] * 2
    tensors = {key: tensor.to(types[TABLE_KEY in key or HEAD_KEY in key]) for key, tensor in tensors.items()}
    if stored != "float32":
        (folder / "model.safetensors").unlink()
        shards = {"one.safetensors": sorted(tensors)[::2], "two.safetensors": sorted(tensors)[1::2]}
        for name, keys in shards.items():
            save_file({key: tensors[key].contiguous() for key in keys}, folder / name)
        places = {key: name for name, keys in shards.items() for key in keys}
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    else:
        save_file(tensors, folder / "model.safetensors")
    config = read_config(folder, convention)
    assert config.tie_word_embeddings == (head != "different")
    weights = load_weights(folder, config)
    for name, array in load_weights(GOLDEN, read_config(GOLDEN)).items():
        own = types["embed_tokens" in name]
        assert weights[name].tobytes() == to_numpy(torch.tensor(array).to(own).float()).tobytes(), name
    if head == "different":
        assert weights[HEAD].tobytes() == to_numpy(tensors[HEAD_KEY].float()).tobytes()
    else:
        assert HEAD not in weights
    model = Ovis2ForConditionalGeneration.from_pretrained(folder, convention=convention, stream=True)
    assert model.config == config
    assert all((model.weights[name] == array).all() for name, array in weights.items())


def test_both_layouts_at_once(tmp_path):
    """One weight under the authors' name and transformers'."""
    folder = tmp_path / "authors"
    copy_original_checkpoint(folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["model.language_model.norm.weight"] = tensors["llm.model.norm.weight"].clone()
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"are both model.language_model.norm.weight"):
        read_config(folder)
