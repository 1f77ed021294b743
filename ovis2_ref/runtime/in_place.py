"""Attention on a CPU with the fewest passes over the scores, which take most of a long prompt's time beside the products."""

import numpy as np
from jaxtyping import Float


def attend_in_place(
    q: Float[np.ndarray, "batch heads tokens head_dim"],
    k: Float[np.ndarray, "batch kv_heads keys head_dim"],
    v: Float[np.ndarray, "batch kv_heads keys head_dim"],
    mask: Float[np.ndarray, "#batch #heads tokens last_keys"] | None,
) -> Float[np.ndarray, "batch heads tokens head_dim"]:
    """Twin of `ops.attend`, in one array of scores. `mask` is that of the last keys; every query sees the keys before these.

    The queries are scaled in place of the scores, and the values' sums divided in place of the weights, as in FlashAttention
    (Dao et al., 2022, algorithm 1), so the last bits differ from the formula's.
    """
    shape, shared = q.shape, k.shape[1]
    q = (q * q.dtype.type(shape[-1] ** -0.5)).reshape(shape[0], shared, -1, shape[-1])
    scores = q @ k.swapaxes(-1, -2)
    if mask is not None:
        by_head = scores.reshape(*shape[:3], -1)
        by_head[..., by_head.shape[-1] - mask.shape[-1] :] += mask
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    return (scores @ v / scores.sum(axis=-1, keepdims=True)).reshape(shape)
