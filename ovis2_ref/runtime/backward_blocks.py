"""The way back in blocks, so that a block's intermediate arrays stay in the cache, and scores are never all in memory."""

from collections.abc import Callable
from functools import partial, wraps
from itertools import product
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

from ovis2_ref.runtime.arrays import Array, array_module, is_half
from ovis2_ref.runtime.blocks import IN_CACHE, Mask, even_blocks, part_of, query_blocks
from ovis2_ref.runtime.taps import anybody_listens
from ovis2_ref.runtime.threads import run_tasks
from ovis2_ref.runtime.weights import Weights

Rule = TypeVar("Rule", bound=Callable[..., Any])

ROWS_IN_CACHE = 2**16
"""Numbers of a block of rows: a rule has some ten arrays of this size at a time."""


def by_rows_back(rule: Rule) -> Rule:
    """Decorate the rule of a formula of independent rows: blocks of rows, and the sum of the weights' gradients over them.

    On a GPU, in 16 bits and while somebody listens the rule is computed undivided.
    """

    @wraps(rule)
    def call(dy: Array, *others: Any) -> Any:
        rows, width = dy.size // max(1, dy.shape[-1]), dy.shape[-1]
        count = min(rows, -(-dy.size // ROWS_IN_CACHE))
        if count < 2 or array_module(dy) is not np or is_half(dy.dtype) or anybody_listens():
            return rule(dy, *others)
        whole = [a.reshape(rows, width) if hasattr(a, "reshape") else a for a in (dy, *others)]

        def run(place: slice) -> tuple[Any, ...]:
            part = rule(*[a[place] if hasattr(a, "reshape") else a for a in whole])
            return part if isinstance(part, tuple) else (part,)

        blocks = run_tasks([partial(run, place) for place in even_blocks(rows, count)])
        gradients = tuple(_joined([block[i] for block in blocks], dy.shape) for i in range(len(blocks[0])))
        return gradients if len(gradients) > 1 else gradients[0]

    return call  # type: ignore[return-value]


def _joined(parts: list[Any], shape: tuple[int, ...]) -> Any:
    """Return blocks of rows as one array, and the weights' gradients of the blocks as their sum."""
    if isinstance(parts[0], dict):
        return {word: np.sum([part[word] for part in parts], axis=0) for word in parts[0]}
    return np.concatenate(parts).reshape(shape)


def by_queries_back(rule: Rule) -> Rule:
    """Decorate `attend_backward(dy, q, k, v, mask, w)`: those of keys and values are sums over the blocks.

    A task has one key head of one sequence, or whole sequences where these have few scores; it adds its blocks up in order.
    In 16 bits, on a GPU and while somebody listens the rule is computed undivided; else its twin computes the blocks.
    """

    @wraps(rule)
    def call(dy: Array, q: Array, k: Array, v: Array, mask: Mask | Array | None, w: Weights) -> Any:
        (batch, heads, queries, _), (kv_heads, keys) = q.shape, k.shape[1:3]
        scores, group = heads * queries * keys, heads // kv_heads
        numbers = mask.numbers if isinstance(mask, Mask) else mask
        if array_module(q) is not np or is_half(q.dtype) or anybody_listens():
            return rule(dy, q, k, v, numbers, w)
        dq, dk, dv = np.empty_like(q), np.zeros_like(k), np.zeros_like(v)
        if scores <= IN_CACHE:
            sequences, of_heads = even_blocks(batch, -(-batch * scores // IN_CACHE)), [slice(None)]
            blocks = [(slice(None), slice(0, keys), slice(0, keys))]
        else:
            sequences, of_heads = even_blocks(batch, batch), even_blocks(kv_heads, kv_heads)
            blocks = query_blocks(queries, group, Mask(mask) if isinstance(mask, np.ndarray) else mask, keys)

        def run(row: slice, kv: slice) -> None:
            head = slice(None) if kv.start is None else slice(kv.start * group, kv.stop * group)
            for rows, span, masked in blocks:
                seen = None if numbers is None else part_of(numbers, row, head, rows, masked)
                part = attend_back_in_place(
                    dy[row, head, rows], q[row, head, rows], k[row, kv, span], v[row, kv, span], seen
                )
                dq[row, head, rows] = part[0]
                dk[row, kv, span] += part[1]
                dv[row, kv, span] += part[2]

        run_tasks([partial(run, *task) for task in product(sequences, of_heads)])
        return dq, dk, dv

    return call  # type: ignore[return-value]


def attend_back_in_place(
    dy: Float[np.ndarray, "batch heads tokens head_dim"],
    q: Float[np.ndarray, "batch heads tokens head_dim"],
    k: Float[np.ndarray, "batch kv_heads keys head_dim"],
    v: Float[np.ndarray, "batch kv_heads keys head_dim"],
    mask: Float[np.ndarray, "#batch #heads tokens last_keys"] | None,
) -> tuple[
    Float[np.ndarray, "batch heads tokens head_dim"],
    Float[np.ndarray, "batch kv_heads keys head_dim"],
    Float[np.ndarray, "batch kv_heads keys head_dim"],
]:
    """Twin of `attend_backward`, in two arrays of scores. `mask` is that of the last keys; every query sees the keys before."""
    shape, shared, factor = q.shape, k.shape[1], q.dtype.type(q.shape[-1] ** -0.5)
    q, dy = (x.reshape(shape[0], shared, -1, shape[-1]) for x in (q * factor, dy))
    p = q @ k.swapaxes(-1, -2)
    if mask is not None:
        by_head = p.reshape(*shape[:3], -1)
        by_head[..., by_head.shape[-1] - mask.shape[-1] :] += mask
    p -= p.max(axis=-1, keepdims=True)
    np.exp(p, out=p)
    p /= p.sum(axis=-1, keepdims=True)
    ds = dy @ v.swapaxes(-1, -2)
    ds -= np.einsum("...k,...k->...", ds, p)[..., None]
    ds *= p
    return ((ds @ k) * factor).reshape(shape), ds.swapaxes(-1, -2) @ q, p.swapaxes(-1, -2) @ dy
