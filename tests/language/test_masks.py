"""The attention mask, bit for bit that of transformers' `masking_utils`: padding of every shape, windows, caches, jumps in the
positions.
"""

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from transformers import DynamicCache, masking_utils

from ovis2_ref.config import Qwen2Config
from ovis2_ref.errors import InputError
from ovis2_ref.language.masks import layer_masks
from ovis2_ref.runtime.arrays import as_dtype
from tests.language.drawn import masks
from tests.oracle import TORCH_DTYPES, reference_language_model, to_numpy
from tests.strategies import text_configs

CREATORS = {
    "full_attention": masking_utils.create_causal_mask,
    "sliding_attention": masking_utils.create_sliding_window_causal_mask,
}
needs_5 = pytest.mark.skipif(
    transformers.__version__ < "5", reason="transformers 4's mask functions take other arguments"
)


@needs_5
@given(
    text_configs(),
    st.data(),
    st.integers(1, 3),
    st.integers(1, 9),
    st.integers(0, 20),
    st.sampled_from(sorted(TORCH_DTYPES)),
)
def test_masks_are_transformers(
    config: Qwen2Config, data: st.DataObject, batch: int, tokens: int, seen: int, dtype: str
) -> None:
    """With and without a cache, with and without padding, for full and for windowed layers."""
    cached = data.draw(st.sampled_from([True, True, True, False]))
    seen = seen if cached else 0
    padding = data.draw(st.one_of(st.none(), *[masks(batch, seen + tokens)] * 3))
    position_ids = np.array([data.draw(st.lists(st.integers(0, 3), min_size=tokens, max_size=tokens))]).cumsum(axis=1)
    reference = reference_language_model(config, 0)
    cache = None
    if cached:
        cache = DynamicCache(config=reference.config)
        for i in range(config.num_hidden_layers):
            past = torch.zeros(batch, config.num_key_value_heads, seen, config.head_dim)
            cache.update(past, past, i)
    ours = layer_masks(padding, batch, position_ids, seen if cached else None, config, as_dtype(dtype))
    assert set(ours) == set(config.layer_types)
    for kind, mask in ours.items():
        expected = CREATORS[kind](
            config=reference.config,
            inputs_embeds=torch.zeros(batch, tokens, 1, dtype=TORCH_DTYPES[dtype]),
            attention_mask=None if padding is None else torch.tensor(padding),
            past_key_values=cache,
            position_ids=torch.tensor(position_ids),
        )
        if mask is None:
            assert (expected == 0).all()
        else:
            assert mask.dtype == as_dtype(dtype)
            np.testing.assert_array_equal(np.broadcast_to(mask, expected.shape), to_numpy(expected))


@pytest.mark.parametrize(
    "mask",
    [
        np.ones((2, 4)), np.ones((1, 5)), np.ones(5), np.ones((2, 1, 5)), np.ones((2, 1, 4, 5)), np.ones((2, 3, 3, 5)),
        np.ones((3, 1, 3, 5)), np.ones((2, 1, 3, 5), dtype=int),
    ],
    ids=lambda mask: f"{mask.dtype} {mask.shape}",
)  # fmt: skip
def test_masks_that_do_not_fit_are_refused(mask: np.ndarray) -> None:
    """Two sequences of three tokens after two others, two heads: (2, 5) is right, and what has four axes must be (.., 3, 5)."""
    config = Qwen2Config(hidden_size=8, num_attention_heads=2, num_key_value_heads=2)
    with pytest.raises(InputError, match=r"attention_mask is .* it should be \(batch, past \+ new tokens\) = \(2, 5\)"):
        layer_masks(mask, 2, np.arange(2, 5)[None], 2, config, as_dtype("float32"))
