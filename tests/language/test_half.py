"""float16 and bfloat16 on a CPU: the same rounding points as transformers, so the same rounding errors.

Judged against two references (a fixed tolerance would be too loose in the first layer and too tight in the last): layer by layer,
from the same input, against transformers in the same type and against the layer in float64; and end to end by the error of each.
"""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ovis2_ref.config import Qwen2Config
from ovis2_ref.language.decoder import decoder, layer
from ovis2_ref.language.forward_pass import forward_pass
from ovis2_ref.runtime.arrays import as_dtype
from ovis2_ref.runtime.taps import recording
from ovis2_ref.runtime.weights import Weights
from tests.language.drawn import masks
from tests.oracle import TORCH_DTYPES, lifted, reference_language_model, to_numpy, weights_of
from tests.strategies import normal, seeds, text_configs

BATCH, TOKENS = 2, 9
halves = pytest.mark.parametrize("dtype", ["float16", "bfloat16"])


def run(model: Any, x: torch.Tensor, padding: np.ndarray) -> Any:
    with torch.no_grad():
        return model(inputs_embeds=x, attention_mask=torch.tensor(padding), output_attentions=True, use_cache=False)


def one_layer(
    x: np.ndarray, weights: dict[str, np.ndarray], config: Qwen2Config, index: int, padding: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Our layer's output and attention weights."""
    w = Weights(weights, f"layers.{index}")
    with recording() as taps:
        y = layer(x, w, config, index, forward_pass(x, config, np.arange(TOKENS)[None], padding))
    return y, taps[f"{w.name}.self_attn.weights"]


@halves
def test_every_layer_is_transformers(dtype: str) -> None:
    """From the same input, each layer's output and attention weights are transformers' in the same type, to the bit in 97 of 100.

    Where both round the same value, their sums, made in another order, may fall to two neighbours: one of them twice as far from
    the truth as the nearest at most. So our error is at most twice transformers', and a unit in the last place of the largest.
    """
    equal: list[np.ndarray] = []

    @given(text_configs(), seeds, masks(BATCH, TOKENS))
    def draw(config: Qwen2Config, seed: int, padding: np.ndarray) -> None:
        model = reference_language_model(config, seed, dtype)
        x = torch.tensor(normal(seed, BATCH, TOKENS, config.hidden_size)).to(TORCH_DTYPES[dtype])
        states = [x]
        for module in model.layers:
            module.register_forward_hook(lambda _module, _inputs, output: states.append(output))
        attentions = run(model, x, padding).attentions
        weights = weights_of(model)
        exact_weights = {name: value.astype(np.float64) for name, value in weights.items()}
        for i in range(config.num_hidden_layers):
            state = to_numpy(states[i])
            ours = one_layer(state, weights, config, i, padding)
            truth = one_layer(state.astype(np.float64), exact_weights, config, i, padding)
            for mine, other, true in zip(ours, (states[i + 1], attentions[i]), truth, strict=True):
                assert mine.dtype == as_dtype(dtype)
                other, largest = to_numpy(other), np.abs(true).max()
                our_error, their_error = (np.abs(y.astype(np.float64) - true).max() / largest for y in (mine, other))
                unit = float(ml_dtypes.finfo(as_dtype(dtype)).eps)
                assert our_error <= 2 * their_error + unit, (our_error, their_error)
                equal.append((mine == other).reshape(-1))

    draw()
    assert np.concatenate(equal).mean() >= 0.97


@halves
def test_error_is_no_larger_than_transformers(dtype: str) -> None:
    """The median over drawn models of our error / transformers' error, against lifted transformers in float64, is 1.1 at most."""
    ratios = []

    @given(text_configs(), seeds, st.integers(1, TOKENS))
    def draw(config: Qwen2Config, seed: int, tokens: int) -> None:
        model, truth = (reference_language_model(config, seed, dtype) for _ in range(2))
        for parameter in truth.parameters():
            parameter.data = parameter.data.double()
        x = torch.tensor(normal(seed, BATCH, tokens, config.hidden_size)).to(TORCH_DTYPES[dtype])
        padding = np.ones((BATCH, tokens), dtype=np.int64)
        weights = {f"text.{name}": value for name, value in weights_of(model).items()}
        with lifted():
            true = run(truth, x.double(), padding).last_hidden_state.numpy()
        ours = decoder(to_numpy(x), Weights(weights, "text"), config, forward_pass(to_numpy(x), config))
        theirs = to_numpy(run(model, x, padding).last_hidden_state)
        ours, theirs = (np.square(y.astype(np.float64) - true).mean() ** 0.5 for y in (ours, theirs))
        ratios.append(ours / theirs if theirs else 1.0 + ours)

    draw()
    assert len(ratios) >= min(10, settings().max_examples)
    assert np.median(ratios) <= 1.1
