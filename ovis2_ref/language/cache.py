"""The KV cache: the keys and values of every token that the model has seen, so that none is computed twice."""

from types import ModuleType

import numpy as np
from jaxtyping import Float, Int

from ovis2_ref.config import Qwen2Config
from ovis2_ref.runtime.arrays import Array


class KVCache:
    """One preallocated array (layers, 2, batch, kv_heads, capacity, head_dim): keys at index 0, values at 1.

    Layers with a sliding window keep every token, too, and look at the last ones only.
    """

    def __init__(self, config: Qwen2Config, batch: int, capacity: int, dtype: np.dtype, xp: ModuleType) -> None:
        """An empty cache on `xp`'s device, with room for `capacity` tokens of each of `batch` sequences."""
        shape = (config.num_hidden_layers, 2, batch, config.num_key_value_heads, max(capacity, 1), config.head_dim)
        self.xp = xp
        self.store = xp.empty(shape, dtype=dtype)
        self.length = 0
        """Tokens seen. Every layer has them, except while a forward pass is under way."""

    @property
    def batch(self) -> int:
        """Sequences held."""
        return self.store.shape[2]

    @property
    def capacity(self) -> int:
        """Tokens that fit without growing."""
        return self.store.shape[4]

    def get_seq_length(self) -> int:
        """Tokens seen, under transformers' name."""
        return self.length

    def reserve(self, tokens: int) -> None:
        """Make room for `tokens` in all, doubling the capacity until they fit."""
        if tokens > self.capacity:
            capacity = self.capacity
            while capacity < tokens:
                capacity *= 2
            self._replace(self.store[..., : self.length, :], capacity)

    def update(
        self,
        layer: int,
        keys: Float[Array, "batch kv_heads new head_dim"],
        values: Float[Array, "batch kv_heads new head_dim"],
    ) -> tuple[Float[Array, "batch kv_heads all head_dim"], Float[Array, "batch kv_heads all head_dim"]]:
        """Put the keys and values of new tokens behind those that `layer` has seen; views of all of them come back."""
        end = self.length + keys.shape[2]
        self.reserve(end)
        self.store[layer, 0, :, :, self.length : end] = keys
        self.store[layer, 1, :, :, self.length : end] = values
        return self.store[layer, 0, :, :, :end], self.store[layer, 1, :, :, :end]

    def advance(self, tokens: int) -> None:
        """Count `tokens` as seen, once every layer has been updated with them."""
        self.length += tokens

    def reorder(self, indices: Int[Array, " new_batch"]) -> None:
        """Let sequence i go on from what was sequence `indices[i]`: a beam that goes on, or one that is given up."""
        self._replace(self.store[:, :, indices, :, : self.length], self.capacity)

    def crop(self, length: int) -> None:
        """Forget all but the first `length` tokens."""
        self.length = min(self.length, length)

    def _replace(self, kept: Float[Array, "layers 2 batch kv_heads length head_dim"], capacity: int) -> None:
        self.store = self.xp.empty((*kept.shape[:4], capacity, kept.shape[5]), dtype=kept.dtype)
        self.store[..., : self.length, :] = kept


class StaticCache(KVCache):
    """A cache for steps of one token that are all alike: where the token goes is data on the device, not a length on the host,
    and all places are looked at, those not yet taken behind a mask (transformers' `StaticCache`).
    """

    def __init__(self, cache: KVCache) -> None:
        """Goes on in the memory of `cache`, which has room for all that comes."""
        self.xp, self.store = cache.xp, cache.store
        self.store[..., cache.length :, :] = 0
        self.place = self.xp.full(1, cache.length)
        """Where the next token goes."""
        self.length = cache.capacity - 1

    def update(
        self,
        layer: int,
        keys: Float[Array, "batch kv_heads 1 head_dim"],
        values: Float[Array, "batch kv_heads 1 head_dim"],
    ) -> tuple[Float[Array, "batch kv_heads capacity head_dim"], Float[Array, "batch kv_heads capacity head_dim"]]:
        """Put a token's keys and values in its place; those of all places come back."""
        all_keys, all_values = self.store[layer]
        all_keys[:, :, self.place] = keys
        all_values[:, :, self.place] = values
        return all_keys, all_values

    def advance(self, tokens: int) -> None:
        """Go on to the next place."""
        self.place += tokens
