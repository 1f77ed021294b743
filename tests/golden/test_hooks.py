"""transformers with hooks: every recorded value is the formula's value for the recorded inputs, in every type."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from ovis2_ref import Ovis2Config
from ovis2_ref.convention import TRANSFORMERS
from ovis2_ref.golden import Golden, compare, read_golden, record_transformers
from ovis2_ref.golden.stages import Reference, is_input
from ovis2_ref.runtime.weights import Weights
from tests.oracle import TORCH_DTYPES, reference_model, weights_of
from tests.strategies import normal, ovis2_configs, seeds


def run_of_transformers(path, config: Ovis2Config, seed: int, dtype: str, attention: str) -> tuple[Golden, Reference]:
    """Return a recorded forward pass over two tiles and some text, and what to compute it with."""
    model = reference_model(config, seed, dtype)
    model.set_attn_implementation(attention)
    vision = config.vision_config
    ids = [1, *config.visual_indicator_token_ids[:1], *[config.image_token_id] * (2 * vision.tokens_per_tile), 2, 3, 1]
    pixels = normal(seed, 2, vision.num_channels, vision.image_size, vision.image_size)
    inputs = {
        "input_ids": torch.tensor([ids]),
        "attention_mask": torch.ones(1, len(ids), dtype=torch.int64),
        "pixel_values": torch.from_numpy(pixels).to(TORCH_DTYPES[dtype]),
    }
    with torch.no_grad():
        record_transformers(path, model, inputs)
    return read_golden(path), Reference(Weights(weights_of(model)), config, TRANSFORMERS)


def inputs_of(run: Golden) -> Golden:
    """Return a golden file that holds the inputs alone: nothing in it can be equal, everything is computed."""
    return Golden({name: run.taps[name] for name in run.names if is_input(name)}, run.metadata)


def expect_right(run: Golden, reference: Reference) -> None:
    comparison = compare(inputs_of(run), run, reference)
    wrong = [
        (row.tap, row.verdict, row.error, row.band)
        for row in comparison.rows
        if row.verdict not in ("equal", "rounding")
    ]
    assert not wrong
    assert not comparison.unmatched
    assert len(comparison.rows) == len(run.names)


@pytest.mark.parametrize(
    ("dtype", "attention"), [("float32", "eager"), ("float32", "sdpa"), ("bfloat16", "eager"), ("float16", "eager")]
)
@settings(max_examples=2)
@given(config=ovis2_configs(), seed=seeds)
def test_every_tap_is_right(tmp_path_factory, dtype, attention, config, seed):
    expect_right(
        *run_of_transformers(tmp_path_factory.mktemp("run") / "run.safetensors", config, seed, dtype, attention)
    )


def test_a_mistake_in_transformers_is_found(tmp_path):
    """A missing scale in the attention of transformers' language model is named and proved; the rest inherits it."""
    config = Ovis2Config.from_dict(
        {
            "vision_config": {
                "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 16,
                "patch_size": 4, "vocab_size": 20, "hidden_stride": 2,
            },
            "text_config": {
                "vocab_size": 50, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
                "num_key_value_heads": 2,
            },
            "image_token_id": 44, "visual_indicator_token_ids": [45, 46, 47, 48, 49], "vocab_size": 50, "hidden_size": 16,
        }
    )  # fmt: skip
    model = reference_model(config, 1)
    for layer in model.model.language_model.layers:
        layer.self_attn.scaling = 1.0
    ids = torch.tensor([[1, 45, *[44] * 8, 3, 4, 5]])
    inputs = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "pixel_values": torch.from_numpy(normal(1, 2, 3, 16, 16)),
    }
    with torch.no_grad():
        record_transformers(tmp_path / "run.safetensors", model, inputs)
    run = read_golden(tmp_path / "run.safetensors")
    comparison = compare(inputs_of(run), run, Reference(Weights(weights_of(model)), config, TRANSFORMERS))
    wrong = {row.tap: [each.cause.name for each in row.causes] for row in comparison.of("wrong")}
    assert wrong == {f"model.language_model.layers.{i}.self_attn.weights": ["scores: scale missing"] for i in range(2)}
    assert not comparison.passes
    assert {row.tap for row in comparison.of("inherited")} >= {"lm_head.output", "model.language_model.layers.0.output"}
    assert np.isfinite([row.error for row in comparison.rows if row.error is not None]).all()
