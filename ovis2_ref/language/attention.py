"""Grouped-query attention (Ainslie et al., 2023): several query heads share the keys and values of one head."""

from collections.abc import Mapping

from jaxtyping import Float

from ovis2_ref.arrays import Array, array_module
from ovis2_ref.config import Qwen2Config
from ovis2_ref.language.cache import KVCache
from ovis2_ref.language.rope import rotate
from ovis2_ref.ops import linear, matmul, softmax
from ovis2_ref.trace import tap

Weights = Mapping[str, Array]


def attention(
    x: Float[Array, "batch tokens hidden"],
    weights: Weights,
    name: str,
    config: Qwen2Config,
    layer: int,
    rotary: tuple[Array, Array],
    mask: Array | None,
    cache: KVCache | None,
) -> tuple[Float[Array, "batch tokens hidden"], Float[Array, "batch heads tokens keys"]]:
    """softmax(q k^T / sqrt(head_dim) + mask) v."""
    batch, tokens, _ = x.shape

    def heads(part: str, count: int) -> Array:
        y = linear(x, weights[f"{name}.{part}.weight"], weights[f"{name}.{part}.bias"])
        return y.reshape(batch, tokens, count, config.head_dim).swapaxes(1, 2)

    kv_heads = config.num_key_value_heads
    q = rotate(heads("q_proj", config.num_attention_heads), *rotary)
    k = rotate(heads("k_proj", kv_heads), *rotary)
    v = heads("v_proj", kv_heads)
    if cache is not None:
        k, v = cache.update(layer, k, v)
    xp = array_module(x)
    groups = q.reshape(batch, kv_heads, -1, config.head_dim)
    scores = matmul(groups, k.swapaxes(-1, -2)).reshape(batch, kv_heads, -1, tokens, k.shape[2])
    scores = xp.multiply(scores, config.head_dim**-0.5, dtype=None)
    if mask is not None:
        scores = scores + mask
    p = softmax(scores)
    tap(f"{name}.weights", p.reshape(batch, -1, tokens, k.shape[2]))
    y = matmul(p.reshape(batch, kv_heads, -1, k.shape[2]), v)
    y = y.reshape(batch, -1, tokens, config.head_dim).swapaxes(1, 2).reshape(batch, tokens, -1)
    return linear(y, weights[f"{name}.o_proj.weight"]), p.reshape(batch, -1, tokens, k.shape[2])
