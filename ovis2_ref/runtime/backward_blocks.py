"""Attention's way back in blocks of queries: the scores of a block stay in the cache, and are never all in memory."""

from collections.abc import Callable
from functools import partial, wraps
from itertools import product
from typing import Any, TypeVar

import numpy as np

from ovis2_ref.runtime.arrays import Array, array_module, is_half
from ovis2_ref.runtime.blocks import IN_CACHE, Mask, even_blocks, part_of, query_blocks
from ovis2_ref.runtime.taps import anybody_listens
from ovis2_ref.runtime.threads import run_tasks
from ovis2_ref.runtime.weights import Weights

Rule = TypeVar("Rule", bound=Callable[..., Any])


def by_queries_back(rule: Rule) -> Rule:
    """Decorate `attend_backward(dy, q, k, v, mask, w)`: those of keys and values are sums over the blocks.

    A task has one key head of one sequence, or whole sequences where these have few scores; it adds its blocks up in order.
    In 16 bits, on a GPU and while somebody listens the rule is computed undivided.
    """

    @wraps(rule)
    def call(dy: Array, q: Array, k: Array, v: Array, mask: Mask | Array | None, w: Weights) -> Any:
        (batch, heads, queries, _), (kv_heads, keys) = q.shape, k.shape[1:3]
        scores, group = heads * queries * keys, heads // kv_heads
        numbers = mask.numbers if isinstance(mask, Mask) else mask
        if array_module(q) is not np or is_half(q.dtype) or anybody_listens() or batch * scores <= IN_CACHE:
            return rule(dy, q, k, v, numbers, w)
        dq, dk, dv = np.empty_like(q), np.zeros_like(k), np.zeros_like(v)
        if scores <= IN_CACHE:
            sequences, of_heads = even_blocks(batch, -(-batch * scores // IN_CACHE)), [slice(None)]
            blocks = [(slice(None), slice(0, keys))]
        else:
            sequences, of_heads = even_blocks(batch, batch), even_blocks(kv_heads, kv_heads)
            mask = Mask(mask) if isinstance(mask, np.ndarray) else mask
            blocks = [(rows, span) for rows, span, _ in query_blocks(queries, group, mask, keys)]

        def run(row: slice, kv: slice) -> None:
            head = slice(None) if kv.start is None else slice(kv.start * group, kv.stop * group)
            for rows, span in blocks:
                seen = None if numbers is None else part_of(numbers, row, head, rows, span)
                part = rule(dy[row, head, rows], q[row, head, rows], k[row, kv, span], v[row, kv, span], seen, w)
                dq[row, head, rows] = part[0]
                dk[row, kv, span] += part[1]
                dv[row, kv, span] += part[2]

        run_tasks([partial(run, *task) for task in product(sequences, of_heads)])
        return dq, dk, dv

    return call  # type: ignore[return-value]
