"""Grouped-query attention (Ainslie et al., 2023) with rotary positions and a KV cache."""

from jaxtyping import Float

from ovis2_ref.config import Qwen2Config
from ovis2_ref.language.forward_pass import ForwardPass
from ovis2_ref.language.rope import rotate
from ovis2_ref.ops import attend, linear, merge_heads, split_heads
from ovis2_ref.runtime.arrays import Array
from ovis2_ref.runtime.weights import Weights


def attention(
    x: Float[Array, "batch tokens hidden"], w: Weights, config: Qwen2Config, layer: int, this: ForwardPass
) -> Float[Array, "batch tokens hidden"]:
    """o_proj(softmax(q k^T / sqrt(head_dim) + mask) v), all heads; q and k rotated, k and v joined to those in the cache."""
    q, k, v = (split_heads(linear(x, w / f"{part}_proj"), config.head_dim) for part in "qkv")
    q = w.tap("q_rotated", rotate(q, this.cos, this.sin))
    k = w.tap("k_rotated", rotate(k, this.cos, this.sin))
    k, v = this.keys_and_values(layer, k, v)
    context = attend(q, k, v, this.masks[config.layer_types[layer]], w)
    return linear(w.tap("context", merge_heads(context)), w / "o_proj")
