"""What the layers of one forward pass share: rotary tables, masks, and the cache that they read and fill."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from ovis2_ref.config import Qwen2Config
from ovis2_ref.language.cache import KVCache, StaticCache
from ovis2_ref.language.masks import first_key, layer_masks
from ovis2_ref.language.rope import rotary_tables
from ovis2_ref.runtime.arrays import Array
from ovis2_ref.runtime.blocks import Mask


@dataclass(frozen=True)
class ForwardPass:
    """One pass of new tokens, which follow the tokens in a cache."""

    config: Qwen2Config
    cos: Float[Array, "_ tokens pairs"]
    sin: Float[Array, "_ tokens pairs"]
    masks: dict[str, Mask | None]
    """The mask that is added to the scores, for each kind of layer."""
    cache: KVCache | StaticCache | None

    def keys_and_values(
        self,
        layer: int,
        k: Float[Array, "batch kv_heads tokens head_dim"],
        v: Float[Array, "batch kv_heads tokens head_dim"],
    ) -> tuple[Float[Array, "batch kv_heads keys head_dim"], Float[Array, "batch kv_heads keys head_dim"]]:
        """Return the keys and values that `layer` reads: those in the cache, then `k` and `v`; from the window's start on."""
        tokens = k.shape[2]
        if self.cache is not None:
            k, v = self.cache.update(layer, self.cache.next, k, v)
        if self.config.layer_types[layer] == "full_attention":
            return k, v
        first = first_key(k.shape[2] - tokens, self.config.sliding_window)
        return k[:, :, first:], v[:, :, first:]


def forward_pass(
    inputs_embeds: Float[Array, "batch tokens hidden"],
    config: Qwen2Config,
    position_ids: Int[Array, "_ tokens"] | None = None,
    attention_mask: Shaped[Array, "..."] | None = None,
    cache: KVCache | StaticCache | None = None,
) -> ForwardPass:
    """Prepare the pass of `inputs_embeds`, the tokens that follow those in the `cache`.

    position_ids (batch or 1, tokens): the cache's length and up, unless given; the mask doesn't shift them. attention_mask:
    (batch, past + tokens), 0 at padding; or a whole mask (batch or 1, heads or 1, tokens, past + tokens): booleans that are true
    where a query sees a key, or numbers to add to the scores. Raises `InputError` for a mask of another shape.
    """
    batch, tokens, _ = inputs_embeds.shape
    seen = None if cache is None else cache.length_after(tokens) - tokens
    if position_ids is None:
        position_ids = np.arange(tokens, like=inputs_embeds)[None] + (seen or 0)
    masks = layer_masks(attention_mask, batch, position_ids, seen, config, inputs_embeds.dtype)
    cos, sin = rotary_tables(position_ids, config, inputs_embeds.dtype)
    shared = {kind: None if mask is None else Mask(mask) for kind, mask in masks.items()}
    return ForwardPass(config, cos, sin, shared, cache)
