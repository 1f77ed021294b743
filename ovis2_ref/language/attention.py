"""Grouped-query attention (Ainslie et al., 2023): a group of query heads shares the keys and the values of one head."""

from jaxtyping import Float

from ovis2_ref.config import Qwen2Config
from ovis2_ref.language.cache import KVCache
from ovis2_ref.language.masks import first_key
from ovis2_ref.language.rope import rotate
from ovis2_ref.ops import Weights, matmul, project, row_blocks, scaled_softmax
from ovis2_ref.runtime.arrays import Array, array_module
from ovis2_ref.runtime.taps import is_listening, tap


def attention(
    x: Float[Array, "batch tokens hidden"],
    weights: Weights,
    name: str,
    config: Qwen2Config,
    layer: int,
    rotary: tuple[Float[Array, "#batch tokens pairs"], Float[Array, "#batch tokens pairs"]],
    mask: Float[Array, "_ _ _ tokens _"] | None,
    cache: KVCache | None = None,
    output_attentions: bool = False,
) -> tuple[Float[Array, "batch tokens hidden"], Float[Array, "batch heads tokens keys"] | None]:
    """o_proj(concatenated heads of softmax(q k^T / sqrt(head_dim) + mask) v), q and k turned by `rotary`; and the weights, if
    they are asked for. `mask` is (batch or 1, kv_heads or 1, group or 1, tokens, keys).
    """
    batch, tokens, _ = x.shape

    def heads(part: str, count: int) -> Float[Array, "batch count tokens head_dim"]:
        # The biases of q, k and v, and that the output has none, are no settings in Qwen2.
        y = project(x, weights, f"{name}.{part}", has_bias=True)
        return y.reshape(batch, tokens, count, config.head_dim).swapaxes(1, 2)

    q = rotate(heads("q_proj", config.num_attention_heads), *rotary)
    k = rotate(heads("k_proj", config.num_key_value_heads), *rotary)
    v = heads("v_proj", config.num_key_value_heads)
    tap(f"{name}.q_rotated", q)
    tap(f"{name}.k_rotated", k)
    if cache is not None:
        k, v = cache.update(layer, k, v)
    if config.layer_types[layer] == "sliding_attention":
        first = first_key(k.shape[2] - tokens, config.sliding_window)
        k, v = k[:, :, first:], v[:, :, first:]
    context, p = attend(q, k, v, mask, output_attentions or is_listening(f"{name}.weights"))
    if p is not None:
        tap(f"{name}.weights", p)
    tap(f"{name}.context", context)
    return project(context, weights, f"{name}.o_proj", has_bias=False), p if output_attentions else None


def attend(
    q: Float[Array, "batch heads tokens head_dim"],
    k: Float[Array, "batch kv_heads keys head_dim"],
    v: Float[Array, "batch kv_heads keys head_dim"],
    mask: Float[Array, "#batch #kv_heads #group tokens keys"] | None,
    keep_weights: bool,
) -> tuple[Float[Array, "batch tokens heads*head_dim"], Float[Array, "batch heads tokens keys"] | None]:
    """softmax(q k^T / sqrt(head_dim) + mask) v, heads side by side; and the weights if they are to be kept.

    Keys are not repeated: the queries of a group lie below each other in one product with the keys they share. A block of
    tokens at a time, so that the scores of all of them needn't be held.
    """
    xp = array_module(q)
    (batch, heads, tokens, head_dim), (kv_heads, keys) = q.shape, k.shape[1:3]
    groups = q.reshape(batch, kv_heads, heads // kv_heads, tokens, head_dim)
    context = xp.empty((batch, tokens, kv_heads, heads // kv_heads, head_dim), dtype=q.dtype)
    kept = xp.empty((batch, heads, tokens, keys), dtype=q.dtype) if keep_weights else None
    for rows in row_blocks(tokens, batch * heads * keys, xp):
        block = groups[:, :, :, rows]
        scores = matmul(block.reshape(batch, kv_heads, -1, head_dim), k.swapaxes(-1, -2))
        scores = scores.reshape(*block.shape[:-1], keys)
        p = scaled_softmax(scores, head_dim**-0.5, None if mask is None else mask[:, :, :, rows])
        p = p.astype(q.dtype, copy=False)
        y = matmul(p.reshape(batch, kv_heads, -1, keys), v).reshape(block.shape)
        context[:, rows] = y.transpose(0, 3, 1, 2, 4)
        if kept is not None:
            kept[:, :, rows] = p.reshape(batch, heads, -1, keys)
    return context.reshape(batch, tokens, -1), kept
