"""Rotary embedding: inverse frequencies, tables and turning, compared with transformers' functions and its Qwen2.

Frequencies are compared bit for bit, once torch's powers are the correctly rounded ones; that its own are at most one unit in
the last place away is a test of its own.
"""

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from transformers.models.qwen2 import modeling_qwen2

from ovis2_ref.config import Qwen2Config
from ovis2_ref.language.rope import inverse_frequencies, rotary_tables, rotate
from ovis2_ref.language.rope_scaling import attention_factor
from ovis2_ref.runtime.arrays import as_dtype
from tests.oracle import TORCH_DTYPES, exact_frequencies, reference_language_model, to_numpy
from tests.strategies import normal, rope_settings, seeds


@st.composite
def rotaries(draw: st.DrawFn) -> Qwen2Config:
    """The smallest language model with a drawn rotary embedding, that was made for short texts or for long ones."""
    head_dim = draw(st.sampled_from([2, 4, 6, 10, 16, 64, 128]))
    return Qwen2Config(
        vocab_size=2, hidden_size=2, intermediate_size=1, num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1,
        head_dim=head_dim, rope_parameters=draw(rope_settings(head_dim)),
        max_position_embeddings=draw(st.sampled_from([8, 512, 32768])),
    )  # fmt: skip


positions = st.lists(st.integers(0, 600), min_size=1, max_size=12).map(lambda ids: np.array([ids]))
dtypes = st.sampled_from(sorted(TORCH_DTYPES))


def rotary_of(config: Qwen2Config) -> modeling_qwen2.Qwen2RotaryEmbedding:
    return reference_language_model(config, 0).rotary_emb


LLAMA3 = {"rope_type": "llama3", "rope_theta": 5e5, "factor": 3.7, "low_freq_factor": 1.0, "high_freq_factor": 40.0}


@given(rotaries(), positions)
@example(
    Qwen2Config(
        hidden_size=128,
        num_attention_heads=1,
        num_key_value_heads=1,
        max_position_embeddings=3000,
        rope_parameters={**LLAMA3, "original_max_position_embeddings": 300},
    ),
    np.array([[0]]),
)
def test_frequencies_are_transformers(config: Qwen2Config, position_ids: np.ndarray) -> None:
    """Every kind of scaling, inside and beyond the length it was made for: the same float32 numbers, and the same factor."""
    expected, factor = exact_frequencies(rotary_of(config), torch.tensor(position_ids))
    np.testing.assert_array_equal(inverse_frequencies(position_ids, config), expected.numpy())
    assert attention_factor(config) == factor


@given(rotaries())
def test_torchs_own_powers_are_a_unit_away_at_most(config: Qwen2Config) -> None:
    """What the exact powers of the test above hide: nothing but a last bit of theta^(2 i / head_dim)."""
    config.rope_parameters = {"rope_type": "default", "rope_theta": config.rope_parameters["rope_theta"]}
    ours, torchs = inverse_frequencies(np.array([[0]]), config), rotary_of(config).inv_freq.numpy()
    np.testing.assert_array_max_ulp(ours, torchs, maxulp=2)  # a unit of the power can be two of its reciprocal


@given(rotaries(), positions, dtypes)
def test_tables_are_those_of_transformers_model(config: Qwen2Config, position_ids: np.ndarray, dtype: str) -> None:
    """Both compute position * frequency in float32, so an angle may be off by a unit of the frequency and one of its own."""
    expected = rotary_of(config)(torch.zeros((), dtype=TORCH_DTYPES[dtype]), torch.tensor(position_ids))
    factor = attention_factor(config)
    angles = position_ids[0][:, None] * inverse_frequencies(position_ids, config)
    eps = 2.0**-24  # half a unit in the last place, relative
    bound = factor * (6 * eps * np.abs(angles) + 4 * eps) + 2 * factor * float(ml_dtypes.finfo(as_dtype(dtype)).eps) / 2
    for ours, theirs in zip(rotary_tables(position_ids, config, as_dtype(dtype)), expected, strict=True):
        assert ours.dtype == as_dtype(dtype)
        theirs = to_numpy(theirs).astype(np.float64)
        assert (np.abs(ours[0].astype(np.float64) - theirs[0, :, : ours.shape[-1]]) <= bound).all()
        assert (theirs[..., : ours.shape[-1]] == theirs[..., ours.shape[-1] :]).all()


@given(seeds, st.integers(1, 3), st.integers(1, 4), st.integers(1, 5), st.integers(1, 9), st.booleans(), dtypes)
def test_turning_is_transformers_bit_for_bit(
    seed: int, batch: int, heads: int, tokens: int, pairs: int, one_table: bool, dtype: str
) -> None:
    """The same roundings in every type: each product, then the sum."""
    x = torch.tensor(normal(seed, batch, heads, tokens, 2 * pairs)).to(TORCH_DTYPES[dtype])
    angles = torch.tensor(normal(seed + 1, 1 if one_table else batch, tokens, pairs))
    cos, sin = (f(angles).to(x.dtype) for f in (torch.cos, torch.sin))
    expected, _ = modeling_qwen2.apply_rotary_pos_emb(x, x, torch.cat([cos, cos], -1), torch.cat([sin, sin], -1))
    ours = rotate(to_numpy(x), to_numpy(cos), to_numpy(sin))
    np.testing.assert_array_equal(ours, to_numpy(expected))


@pytest.mark.parametrize("length", [8, 9, 20, 300])
def test_dynamic_scaling_turns_slower_in_longer_texts(length: int) -> None:
    """Up to `max_position_embeddings` nothing is scaled; beyond it, all pairs but the first turn the slower the longer it is."""
    rope = {"rope_type": "dynamic", "rope_theta": 100.0, "factor": 4.0}
    config = Qwen2Config(
        hidden_size=8, num_attention_heads=1, num_key_value_heads=1, max_position_embeddings=8, rope_parameters=rope
    )

    def frequencies(longest: int) -> np.ndarray:
        return inverse_frequencies(np.arange(longest)[None], config)

    slower = frequencies(length) < frequencies(length - 1)
    assert slower.tolist() == [False] + [length > 8] * 3
