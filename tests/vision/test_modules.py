"""The vision tower, module by module, against transformers' Ovis2VisionModel: drawn configurations, weights and tiles together.

Hooks on transformers' modules say what each of them computed; the tap of the same name has to hold the same. In float64, with
transformers' float32 islands lifted, they agree to `tests.bounds.FLOAT64` of the largest value.
"""

from dataclasses import replace

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ovis2_ref.config import Ovis2VisionConfig
from ovis2_ref.convention import TRANSFORMERS
from ovis2_ref.runtime.taps import recording
from ovis2_ref.runtime.weights import Weights
from ovis2_ref.vision.encoder import patch_embedding, vision_transformer
from ovis2_ref.vision.visual_tokenizer import (
    embed_visual_tokens,
    indicator_embeddings,
    merge_patches,
    visual_tokens,
)
from tests.bounds import FLOAT64
from tests.oracle import lifted, to_numpy
from tests.strategies import normal, seeds, vision_configs
from tests.vision.oracle import TOWER, model_and_weights, needs_hidden_states, tiles_for, tower_outputs

TABLE = "model.visual_embeddings_table.weight"


def expect_equal(ours: np.ndarray, theirs: np.ndarray, what: str) -> None:
    """Fail if any value is off by more than `FLOAT64` of the largest."""
    assert ours.shape == theirs.shape, what
    scale = max(float(np.abs(theirs).max(initial=0)), 1e-30)
    error = float(np.abs(ours - theirs).max(initial=0)) / scale
    assert error <= FLOAT64, f"{what}: off by {error:.1e} of the largest value"


@needs_hidden_states
@given(vision_configs(), seeds, st.integers(1, 3), st.sampled_from(["softmax", "st_argmax"]))
def test_every_module_computes_what_transformers_computes(
    config: Ovis2VisionConfig, seed: int, tiles: int, tokenize_function: str
) -> None:
    config = replace(config, tokenize_function=tokenize_function)
    model, weights = model_and_weights(config, seed, "float64")
    pixels = tiles_for(config, seed, tiles, "float64")
    with lifted():
        modules, output = tower_outputs(model, pixels)
    with recording() as taps:
        features = vision_transformer(pixels, Weights(weights, f"{TOWER}.transformer"), config, TRANSFORMERS)
        merged = merge_patches(features, config.hidden_stride)
        tokens = visual_tokens(merged, Weights(weights, TOWER), config, TRANSFORMERS)
    for name, theirs in modules.items():
        expect_equal(taps[f"{name}.output"], theirs, name)
    expect_equal(merged, to_numpy(output.last_hidden_state), "merged")
    expect_equal(embed_visual_tokens(tokens, weights[TABLE]), to_numpy(output.pooler_output), "embeddings")
    theirs = to_numpy(output.visual_indicator_features)
    assert np.array_equal(indicator_embeddings(weights[TABLE], config), theirs)
    # transformers puts the merged features in the place of the last hidden state.
    layers = f"{TOWER}.transformer.encoder.layers"
    ours = [f"{TOWER}.transformer.embeddings", *(f"{layers}.{i}" for i in range(config.num_hidden_layers))]
    assert len(ours) == len(output.hidden_states)
    for name, states in zip(ours[:-1], output.hidden_states[:-1], strict=True):
        expect_equal(taps[f"{name}.output"], to_numpy(states), f"hidden state {name}")
    assert len(output.attentions) == config.num_hidden_layers
    for i, attention in enumerate(output.attentions):
        expect_equal(taps[f"{layers}.{i}.attention.weights"], to_numpy(attention), f"attention {i}")


@given(vision_configs(), seeds)
def test_nothing_depends_on_what_is_recorded(config: Ovis2VisionConfig, seed: int) -> None:
    _, weights = model_and_weights(config, seed, "float32")
    pixels = tiles_for(config, seed, 2, "float32")
    given_pixels, w = pixels.copy(), Weights(weights, f"{TOWER}.transformer")
    plain = vision_transformer(pixels, w, config, TRANSFORMERS)
    with recording():
        recorded = vision_transformer(pixels, w, config, TRANSFORMERS)
    assert np.array_equal(plain, recorded, equal_nan=True)
    assert np.array_equal(pixels, given_pixels), "the caller's tiles were written to"


@given(seeds, st.integers(1, 4), st.integers(1, 5), st.integers(0, 20), st.integers(0, 20), st.integers(1, 6))
def test_patch_embedding_is_the_convolution(
    seed: int, channels: int, patch: int, height: int, width: int, hidden: int
) -> None:
    height, width = height + patch, width + patch
    pixels = normal(seed, 2, channels, height, width, dtype="float64")
    weights = {
        "p.weight": normal(seed + 1, hidden, channels, patch, patch, dtype="float64"),
        "p.bias": normal(seed + 2, hidden, dtype="float64"),
    }
    kernel, bias = torch.from_numpy(weights["p.weight"]), torch.from_numpy(weights["p.bias"])
    theirs = torch.nn.functional.conv2d(torch.from_numpy(pixels), kernel, bias, stride=patch)
    expect_equal(
        patch_embedding(pixels, Weights(weights, "p")), theirs.flatten(2).transpose(1, 2).numpy(), "patch embedding"
    )
