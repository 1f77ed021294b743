"""The KV cache against transformers' `DynamicCache`: any sequence of updates, reorderings and cuts leaves the same in both."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import DynamicCache

from ovis2_ref.config import Qwen2Config
from ovis2_ref.language.cache import KVCache, StaticCache
from ovis2_ref.runtime.arrays import as_dtype
from tests.strategies import normal, seeds

CONFIG = Qwen2Config(
    hidden_size=16, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=1
)
steps = st.one_of(
    st.tuples(st.just("update"), st.integers(1, 5)),
    st.tuples(st.just("reorder"), st.lists(st.integers(0, 10), min_size=1, max_size=4)),
    st.tuples(st.just("crop"), st.integers(1, 3)),
)


@given(seeds, st.integers(1, 3), st.integers(0, 8), st.lists(steps, min_size=1, max_size=8))
def test_cache_holds_what_transformers_holds(seed: int, batch: int, capacity: int, history: list) -> None:
    """Keys and values of every layer that come back from an update are those of all tokens that are still there, in order."""
    ours, theirs = KVCache(CONFIG, batch, capacity, as_dtype("float64"), np), DynamicCache()
    for number, (what, value) in enumerate([*history, ("update", 1)]):
        if what == "update":
            for layer in range(CONFIG.num_hidden_layers):
                shape = (ours.batch, CONFIG.num_key_value_heads, value, CONFIG.head_dim)
                k, v = (normal(seed + 100 * number + 10 * layer + i, *shape, dtype="float64") for i in range(2))
                expected = theirs.update(torch.tensor(k), torch.tensor(v), layer)
                for array, tensor in zip(ours.update(layer, ours.next, k, v), expected, strict=True):
                    np.testing.assert_array_equal(array, tensor.numpy())
            ours.advance(value)
        elif what == "reorder" and ours.length:
            indices = np.array(value) % ours.batch
            ours.reorder(indices)
            theirs.reorder_cache(torch.tensor(indices))
        elif what == "crop" and ours.length > value:
            ours.crop(ours.length - value)
            theirs.crop(-value)
        assert ours.length == ours.get_seq_length() == theirs.get_seq_length()
        assert ours.capacity >= ours.length


def test_nothing_is_copied_while_there_is_room() -> None:
    """Views of one array come back; it is replaced, by one twice as large, only when the capacity is passed."""
    cache = KVCache(CONFIG, 1, 4, as_dtype("float32"), np)
    new = normal(0, 1, CONFIG.num_key_value_heads, 4, CONFIG.head_dim)
    store = cache.keys, cache.values
    k, v = cache.update(0, cache.next, new, new)
    assert (
        cache.keys is store[0]
        and cache.values is store[1]
        and np.shares_memory(k, store[0])
        and np.shares_memory(v, store[1])
    )
    cache.advance(4)
    cache.update(0, cache.next, new, new)
    assert cache.keys is not store[0] and cache.capacity == 8


@given(seeds, st.integers(1, 3), st.integers(0, 5), st.integers(1, 4))
def test_static_cache_goes_on_in_the_same_memory(seed: int, batch: int, length: int, more: int) -> None:
    """Token after token gets the next place; free places hold zeros, whatever the memory held before."""
    cache = KVCache(CONFIG, batch, length + more, as_dtype("float64"), np)
    cache.keys[...] = cache.values[...] = np.nan
    shape = (batch, CONFIG.num_key_value_heads, length, CONFIG.head_dim)
    for layer in range(CONFIG.num_hidden_layers):
        cache.update(layer, 0, *(normal(seed + layer + 10 * i, *shape, dtype="float64") for i in range(2)))
    cache.advance(length)
    expected = np.nan_to_num([cache.keys, cache.values])
    static = StaticCache(cache)
    for place in range(length, length + more):
        for layer in range(CONFIG.num_hidden_layers):
            new = [
                normal(seed + 100 * place + layer + 10 * i, *shape[:2], 1, shape[3], dtype="float64") for i in range(2)
            ]
            for i, array in enumerate(static.update(layer, static.next, *new)):
                expected[i, layer, :, :, place] = new[i][:, :, 0]
                np.testing.assert_array_equal(array, expected[i, layer])
        static.advance(1)
        assert static.length == place + 1
    np.testing.assert_array_equal([cache.keys, cache.values], expected)
