"""The KV cache: the keys and values of every token that the model has read, so that none is computed twice."""

from types import ModuleType

import numpy as np
from jaxtyping import Float, Int

from ovis2_ref.config import Qwen2Config
from ovis2_ref.files.checks import whole
from ovis2_ref.runtime.arrays import Array, array_module


class KVCache:
    """Keys and values of every layer, two arrays of (layers, batch, kv_heads, capacity, head_dim).

    Layers with a sliding window also keep every token, and read only the last ones.
    """

    def __init__(self, config: Qwen2Config, batch: int, capacity: int, dtype: np.dtype, xp: ModuleType) -> None:
        """Make an empty cache on `xp`'s device, with room for `capacity` tokens of each of `batch` sequences."""
        shape = (config.num_hidden_layers, batch, config.num_key_value_heads, max(capacity, 1), config.head_dim)
        self.keys, self.values = xp.empty(shape, dtype=dtype), xp.empty(shape, dtype=dtype)
        self.length = 0
        """Tokens held. Every layer has them, except while a forward pass is under way."""

    @property
    def next(self) -> int:
        """The position of the next token."""
        return self.length

    def length_after(self, tokens: int) -> int:
        """Return how many keys `update` returns after `tokens` new ones."""
        return self.length + tokens

    @property
    def batch(self) -> int:
        """Sequences held."""
        return self.keys.shape[1]

    @property
    def capacity(self) -> int:
        """Tokens that fit without growing."""
        return self.keys.shape[3]

    def get_seq_length(self) -> int:
        """Return the number of tokens held, under transformers' name."""
        return self.length

    def reserve(self, tokens: int) -> None:
        """Make room for `tokens` in all, doubling the capacity until they fit."""
        if tokens > self.capacity:
            capacity = self.capacity
            while capacity < tokens:
                capacity *= 2
            self._replace(slice(None), capacity)

    def update(
        self,
        layer: int,
        place: int,
        keys: Float[Array, "batch kv_heads new head_dim"],
        values: Float[Array, "batch kv_heads new head_dim"],
    ) -> tuple[Float[Array, "batch kv_heads all head_dim"], Float[Array, "batch kv_heads all head_dim"]]:
        """Write the keys and values of new tokens from `place` on, and return views of all up to the last of them."""
        end = place + keys.shape[2]
        self.reserve(end)
        self.keys[layer, :, :, place:end], self.values[layer, :, :, place:end] = keys, values
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]

    def advance(self, tokens: int) -> None:
        """Count `tokens` as held, once every layer has been updated with them."""
        self.length += tokens

    def reorder(self, indices: Int[Array, " new_batch"]) -> None:
        """Let sequence i continue from what was sequence `indices[i]` (beam search keeps some beams and drops others)."""
        self._replace(indices, self.capacity)

    def crop(self, length: int) -> None:
        """Forget all but the first `length` tokens, or, as in transformers, the last `-length`."""
        length = whole("the length to crop to", length, -self.length)
        self.length = min(self.length, length if length >= 0 else self.length + length)

    def _replace(self, rows: Int[Array, " new_batch"] | slice, capacity: int) -> None:
        """Keep the tokens of some rows, in new arrays."""
        self.keys, self.values = (_copied(old[:, rows, :, : self.length], capacity) for old in (self.keys, self.values))


def _copied(kept: Float[Array, "layers batch kv_heads length head_dim"], capacity: int) -> Array:
    new = array_module(kept).empty((*kept.shape[:3], capacity, kept.shape[4]), dtype=kept.dtype)
    new[:, :, :, : kept.shape[3]] = kept
    return new


class StaticCache:
    """A cache for steps of one token that are all the same commands, so that a GPU can record one and replay it.

    Where the next token goes is a number on the device, not on the host. `update` returns all places; a mask hides those not yet
    filled (transformers' `StaticCache`).
    """

    def __init__(self, cache: KVCache) -> None:
        """Continue in the memory of `cache`, which has room for all tokens to come."""
        self.keys, self.values = cache.keys, cache.values
        self.keys[..., cache.length :, :] = self.values[..., cache.length :, :] = 0
        self.next = array_module(self.keys).full(1, cache.length)
        """The position of the next token, of shape (1,), on the device."""

    @property
    def length(self) -> int:
        """Tokens held. Reading it waits for the device."""
        return int(self.next[0])

    def length_after(self, tokens: int) -> int:
        """Return how many keys `update` returns: always the capacity."""
        return self.keys.shape[3]

    def update(
        self,
        layer: int,
        place: Int[Array, " 1"],
        keys: Float[Array, "batch kv_heads 1 head_dim"],
        values: Float[Array, "batch kv_heads 1 head_dim"],
    ) -> tuple[Float[Array, "batch kv_heads capacity head_dim"], Float[Array, "batch kv_heads capacity head_dim"]]:
        """Write a token's keys and values at `place`, and return those of all places."""
        self.keys[layer][:, :, place], self.values[layer][:, :, place] = keys, values
        return self.keys[layer], self.values[layer]

    def advance(self, tokens: int) -> None:
        """Move to the next position."""
        self.next += tokens
