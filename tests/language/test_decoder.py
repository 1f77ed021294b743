"""The whole of Qwen2, over drawn configurations and inputs, against transformers' `Qwen2Model` ("eager" attention).

- float64, transformers lifted to float64: every layer's hidden states and attention weights to `tests.bounds.FLOAT64`.
- float32: by the error of transformers on the same draw, see `assert_no_worse`.
- float16, bfloat16: see `test_half.py`.
"""

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from transformers import DynamicCache

from ovis2_ref.compat.outputs import ModelOutput
from ovis2_ref.config import Qwen2Config
from ovis2_ref.errors import ConfigError
from ovis2_ref.language.cache import KVCache
from ovis2_ref.language.decoder import decoder, embed_tokens
from ovis2_ref.language.forward_pass import forward_pass
from ovis2_ref.language.layer_values import layer_values
from ovis2_ref.runtime import blocks
from ovis2_ref.runtime.arrays import as_dtype
from ovis2_ref.runtime.weights import Weights
from tests.bounds import FLOAT64, expect_no_worse
from tests.language.drawn import masks
from tests.oracle import lifted, reference_language_model, weights_of
from tests.strategies import normal, seeds, text_configs

TEXT = "model.language_model"


def ours(weights: dict[str, np.ndarray], config: Qwen2Config, x: np.ndarray, **options: Any) -> ModelOutput:
    """Our decoder with everything that can be asked for."""
    with layer_values(Weights(weights, TEXT), config.num_hidden_layers, True, True) as values:
        last = decoder(x, Weights(weights, TEXT), config, forward_pass(x, config, **options))
    return ModelOutput(last, options.get("cache"), **values)


def theirs(model: Any, x: np.ndarray, **options: Any) -> Any:
    """transformers' model with everything that can be asked for; arrays become tensors."""
    options = {key: torch.tensor(value) if isinstance(value, np.ndarray) else value for key, value in options.items()}
    with torch.no_grad():
        return model(
            inputs_embeds=torch.tensor(x), output_hidden_states=True, output_attentions=True,
            **{"use_cache": False, **options},
        )  # fmt: skip


def named(model: Any) -> dict[str, np.ndarray]:
    return {f"{TEXT}.{name}": value for name, value in weights_of(model).items()}


def assert_equal(output: ModelOutput, expected: Any) -> None:
    """In float64, every layer's hidden states and attention weights are within `FLOAT64` of the largest value."""
    assert len(output.hidden_states) == len(expected.hidden_states) == len(output.attentions) + 1
    pairs = zip(output.hidden_states + output.attentions, expected.hidden_states + expected.attentions, strict=True)
    for ours, theirs in pairs:
        assert ours.shape == theirs.shape
        theirs = theirs.numpy()
        assert np.abs(ours - theirs).max() <= FLOAT64 * np.abs(theirs).max()
    np.testing.assert_array_equal(output.last_hidden_state, output.hidden_states[-1])


@st.composite
def inputs(draw: st.DrawFn, batch: int, heads: int, tokens: int) -> dict[str, Any]:
    """A mask of either kind or none, one for all sequences and heads or one for each; positions that jump, or none."""
    whole = st.integers(0, 1).map(lambda seed: normal(seed, 1, 1, tokens, tokens) > 0)
    mask = draw(st.none() | masks(batch, tokens) | st.just("additive") | whole)
    if isinstance(mask, str):
        shape = draw(st.sampled_from([1, batch])), draw(st.sampled_from([1, heads])), tokens, tokens
        mask = 3 * normal(draw(seeds), *shape, dtype="float64")
    steps = st.lists(st.integers(0, 3), min_size=tokens, max_size=tokens)
    positions = draw(st.none() | steps.map(lambda step: np.array([step]).cumsum(axis=1)))
    return {key: value for key, value in (("attention_mask", mask), ("position_ids", positions)) if value is not None}


@given(text_configs(), seeds, st.integers(1, 3), st.integers(1, 12), st.sampled_from([1, 64, 2**18]), st.data())
def test_float64_is_transformers(
    config: Qwen2Config, seed: int, batch: int, tokens: int, at_once: int, data: st.DataObject
) -> None:
    """Lifted transformers: every mask, position and configuration, whatever block of tokens is made at a time."""
    model = reference_language_model(config, seed, "float64")
    x = normal(seed, batch, tokens, config.hidden_size, dtype="float64")
    options = data.draw(inputs(batch, config.num_attention_heads, tokens))
    given_options = dict(options)
    mask = options.get("attention_mask")
    if (
        mask is not None and mask.dtype == bool
    ):  # what "eager" attention would add as 1 and 0, "sdpa" takes as ours does
        options["attention_mask"] = np.where(mask, 0, np.finfo(np.float64).min)
    with lifted():
        expected = theirs(model, x, **options)
    with patch.multiple(blocks, IN_CACHE=at_once, ROWS_OF_SCORES=max(1, at_once // 32)):
        assert_equal(ours(named(model), config, x, **given_options), expected)


@given(text_configs(), seeds, st.integers(1, 2), st.lists(st.integers(1, 6), min_size=2, max_size=5), st.data())
def test_a_text_in_pieces_is_transformers_in_pieces(
    config: Qwen2Config, seed: int, batch: int, pieces: list[int], data: st.DataObject
) -> None:
    """Chunked prefill and decoding with a cache that has to grow: each piece equals transformers', lifted, with its cache."""
    model = reference_language_model(config, seed, "float64")
    padding = data.draw(st.none() | masks(batch, sum(pieces)))
    cache, reference_cache = KVCache(config, batch, 2, as_dtype("float64"), np), DynamicCache(config=model.config)
    for number, tokens in enumerate(pieces):
        x = normal(seed + number, batch, tokens, config.hidden_size, dtype="float64")
        mask = None if padding is None else padding[:, : sum(pieces[: number + 1])]
        options = {} if mask is None else {"attention_mask": mask}
        with lifted():
            expected = theirs(model, x, past_key_values=reference_cache, use_cache=True, **options)
        assert_equal(ours(named(model), config, x, cache=cache, **options), expected)
    assert cache.length == sum(pieces)


@given(text_configs(), seeds, st.integers(2, 14), st.integers(1, 13), st.data())
def test_cache_equals_no_cache(config: Qwen2Config, seed: int, tokens: int, cut: int, data: st.DataObject) -> None:
    """A text in two pieces gives the hidden states of the text in one, where a query sees anything at all."""
    config.max_position_embeddings = (
        512  # beyond it, the dynamic scaling turns the keys of a growing text by other angles
    )
    cut, dtype = min(cut, tokens - 1), as_dtype("float64")
    weights = named(reference_language_model(config, seed, "float64"))
    x, padding = normal(seed, 2, tokens, config.hidden_size, dtype="float64"), data.draw(masks(2, tokens))
    whole = ours(weights, config, x, attention_mask=padding).last_hidden_state
    cache = KVCache(config, 2, tokens, dtype, np)
    first = ours(weights, config, x[:, :cut], attention_mask=padding[:, :cut], cache=cache).last_hidden_state
    second = ours(weights, config, x[:, cut:], attention_mask=padding, cache=cache).last_hidden_state
    window = config.sliding_window if "sliding_attention" in config.layer_types else tokens
    sees = np.array([[row[max(0, i + 1 - window) : i + 1].any() for i in range(tokens)] for row in padding])
    difference = np.abs(np.concatenate([first, second], axis=1) - whole)
    # A query that sees no key spreads its weight over all keys that there are: fewer in the first piece.
    blind = np.logical_or.accumulate(~sees, axis=1) & (padding == 0)
    clean = ~blind.any(axis=1)
    assert difference[clean].max(initial=0) <= FLOAT64 * np.abs(whole).max()


def assert_no_worse(output: ModelOutput, expected: Any, exact: ModelOutput) -> None:
    """In float32, every layer's hidden states and attention weights are as near to float64's as `expect_no_worse` says."""
    values = (
        output.hidden_states + output.attentions,
        expected.hidden_states + expected.attentions,
        exact.hidden_states + exact.attentions,
    )
    for ours, theirs, true in zip(*values, strict=True):
        expect_no_worse(ours, theirs.numpy(), true)


def in_float64(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: value.astype(np.float64) for name, value in weights.items()}


@given(text_configs(), seeds, st.integers(1, 3), st.integers(1, 12), st.data())
def test_float32_is_transformers(config: Qwen2Config, seed: int, batch: int, tokens: int, data: st.DataObject) -> None:
    """Every layer's hidden states and attention weights, against our own in float64, which are transformers' (see above)."""
    model = reference_language_model(config, seed)
    x = normal(seed, batch, tokens, config.hidden_size)
    padding = data.draw(st.none() | masks(batch, tokens))
    options = {} if padding is None else {"attention_mask": padding}
    exact = ours(in_float64(named(model)), config, x.astype(np.float64), **options)
    assert_no_worse(ours(named(model), config, x, **options), theirs(model, x, **options), exact)


@given(seeds, st.integers(9, 60))
@example(0, 8)
def test_dynamic_rope_beyond_its_length(seed: int, tokens: int) -> None:
    """Texts longer than `max_position_embeddings` in one piece, and then token by token, against transformers itself in float32.

    transformers' own code decides here when the frequencies change; it is not lifted.
    """
    rope = {"rope_type": "dynamic", "rope_theta": 100.0, "factor": 3.0}
    config = Qwen2Config(
        vocab_size=9, hidden_size=16, intermediate_size=8, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=8, rope_parameters=rope,
    )  # fmt: skip
    model = reference_language_model(config, seed)
    x = normal(seed, 1, tokens + 3, 16)
    cache, exact_cache = (KVCache(config, 1, tokens, as_dtype(dtype), np) for dtype in ("float32", "float64"))
    reference_cache, weights = DynamicCache(config=model.config), named(model)
    pieces = np.split(x, [tokens, tokens + 1, tokens + 2], axis=1)
    for piece in pieces:
        expected = theirs(model, piece, past_key_values=reference_cache, use_cache=True)
        exact = ours(in_float64(weights), config, piece.astype(np.float64), cache=exact_cache)
        assert_no_worse(ours(weights, config, piece, cache=cache), expected, exact)


def test_embeddings_are_rows_of_the_table() -> None:
    table = normal(0, 9, 4)
    ids = np.array([[3, 8, 0], [1, 1, 7]])
    expected = torch.nn.functional.embedding(torch.tensor(ids), torch.tensor(table)).numpy()
    np.testing.assert_array_equal(embed_tokens(ids, Weights({f"{TEXT}.embed_tokens.weight": table}, TEXT)), expected)


@pytest.mark.parametrize(
    ("rope", "message"),
    [
        ({"rope_type": "longrope"}, "'longrope' is not one of default, linear, dynamic, yarn, llama3"),
        ({"rope_type": "linear"}, "factor=None of the rope_type 'linear' should be a number above 0"),
        ({"type": "yarn", "factor": -1}, "factor=-1"),
        ({"rope_type": "llama3", "factor": 2.0, "low_freq_factor": 4.0}, "high_freq_factor=None"),
        (
            {"rope_type": "llama3", "factor": 2.0, "low_freq_factor": 4.0, "high_freq_factor": 1.0},
            "low_freq_factor below",
        ),
        ({"rope_type": "dynamic", "factor": 0.5}, "a factor of at least 1"),
        ({"rope_type": "yarn", "factor": 2.0, "rope_theta": 1.0}, "a rope_theta above 1"),
        ({"rope_type": "yarn", "factor": 2.0, "attention_factor": "big"}, "attention_factor='big'"),
        ({"rope_theta": "10000"}, "rope_theta='10000'"),
        ({"rope_theta": 1e300}, "rope_theta=1e\\+300"),
        ({"rope_type": ["default"]}, "is not one of"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor is set"),
    ],
)
def test_rope_settings_that_cannot_work_are_refused(rope: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Qwen2Config(rope_parameters=rope)


def test_a_window_that_no_setting_opens_is_refused() -> None:
    """transformers raises only when the first text comes."""
    with pytest.raises(ConfigError, match="sliding_window=None"):
        Qwen2Config(num_hidden_layers=1, layer_types=["sliding_attention"])
