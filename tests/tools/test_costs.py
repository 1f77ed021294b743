"""Costs against torch: parameters are those of a transformers model, operations those that torch counts while it runs."""

from dataclasses import replace

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from ovis2_ref.config import Ovis2Config
from ovis2_ref.config.presets import RELEASED
from ovis2_ref.tools.costs import cache_bytes_per_token, operations, parameters
from tests.oracle import reference_config, reference_model
from tests.strategies import ovis2_configs, seeds


def counted(function, *arguments, **options):
    """Return the operations that torch counts in a call, and its result."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        result = function(*arguments, **options)
    return counter.get_total_flops(), result


@given(ovis2_configs(), seeds, st.integers(1, 3), st.integers(2, 40))
def test_operations_as_torch_counts_them(config, seed, tiles, tokens):
    """The stages run apart: the ViT, the visual head and the table, a prompt, and one token more with its cache.

    torch multiplies the indicators' columns of the table too, by zeros: they are none of the model's, and are taken off here.
    Windows are taken out: with one, transformers' cache forgets tokens, which are counted here as masked ones are. 4.56 makes its
    rotary table by a product of positions and frequencies, which is a norm's kind of work, and is taken off.
    """
    text = replace(config.text_config, use_sliding_window=False, layer_types=None)
    config = replace(config, text_config=text)
    model = reference_model(config, seed)
    vision = config.vision_config
    expected = operations(config, tiles, tokens)
    pixels = torch.rand(tiles, vision.num_channels, vision.image_size, vision.image_size)
    transformer, _ = counted(model.model.vision_tower.transformer, pixels)
    features, _ = counted(model.model.vision_tower, pixels)
    images, _ = counted(model.model.get_image_features, pixels)
    zeros = 2 * tiles * vision.tokens_per_tile * vision.num_visual_indicator_tokens * config.hidden_size
    assert transformer == expected["vision transformer"]
    assert features - transformer == expected["visual tokens"]
    assert images - features - zeros == expected["visual embeddings"]
    ids = torch.zeros((1, tokens), dtype=torch.long)
    prefill, output = counted(model, ids, logits_to_keep=1, use_cache=True)
    rotary = text.head_dim if transformers.__version__.startswith("4.") else 0
    assert prefill - tokens * rotary == expected["prefill"]
    step, output = counted(model, ids[:, :1], past_key_values=output.past_key_values, use_cache=True)
    assert step - rotary == expected["one more token"]


@given(ovis2_configs())
def test_parameters(config):
    model = reference_model(config, 0)
    assert sum(parameters(config).values()) == sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", RELEASED)
def test_presets_have_the_parameters_of_transformers_models(name):
    """Models of the six released shapes, built without memory; Ovis2-1B has 1,131 M parameters."""
    config = Ovis2Config.preset(name)
    from transformers import Ovis2ForConditionalGeneration

    with torch.device("meta"):
        model = Ovis2ForConditionalGeneration(reference_config(config))
    total = sum(parameter.numel() for parameter in model.parameters())
    assert sum(parameters(config).values()) == total
    if name == "Ovis2-1B":
        assert round(total / 1e6) == 1131
    billions = int(name.removeprefix("Ovis2-").removesuffix("B"))
    assert 0.85 < total / (billions * 1e9) < 1.2


def test_cache_bytes():
    """Qwen2.5-0.5B: 24 layers, 2 key-value heads of 64: 2 x 24 x 2 x 64 numbers a token."""
    assert cache_bytes_per_token(Ovis2Config.preset("Ovis2-1B").text_config, 2) == 12288
