"""Blocks: run a plain formula over blocks of rows, or of heads and queries, that don't depend on each other.

The formula's text is the same for a block and for the whole. A block's intermediate arrays stay in the cache, blocks run on
several threads, and the memory that they need doesn't grow with the input. Blocks depend on shapes and masks alone, so results
don't depend on the number of threads. A formula whose taps somebody listens to runs whole: the taps are whole arrays anyway.

The decorators also choose between the formula and its twin for a GPU, and let numbers overflow to infinity, as torch does.
"""

from collections.abc import Callable, Sequence
from functools import partial, wraps
from itertools import pairwise, product
from threading import Lock
from typing import Any, TypeVar

import ml_dtypes
import numpy as np
from jaxtyping import Float

from ovis2_ref.runtime.arrays import Array, array_module, is_half
from ovis2_ref.runtime.tape import is_recorded
from ovis2_ref.runtime.taps import anybody_listens, is_listening
from ovis2_ref.runtime.threads import inside_task, run_tasks
from ovis2_ref.runtime.weights import Weights

Formula = TypeVar("Formula", bound=Callable[..., Any])

IN_CACHE = 2**18
"""Numbers in a block of rows of one thread: 1 MiB of float32. Threads with smaller blocks wait for each other too often."""
IN_MEMORY = 2**20
"""Numbers in a block of rows that all threads share, 4 MiB of float32. Intermediate arrays may be 16 times as large."""
ON_GPU = 16
"""Blocks on a GPU are this many times larger, since only its memory limits them."""
ROWS_OF_SCORES = 256
"""Rows of a block of scores, queries times the heads that share their keys: over 1,000 keys they take 1 MiB of float32. Twice as
many leave the cache; with half as many Python's 70 microseconds for a block show."""
SCORES = 2**17
"""Scores of a block at most, where it has several heads that share no keys."""


def even_blocks(length: int, count: int) -> list[slice]:
    """Cut `length` into `count` slices of nearly equal length."""
    return [slice(start, end) for start, end in pairwise(length * i // count for i in range(count + 1))]


def by_rows(gpu: Callable[..., Any]) -> Callable[[Formula], Formula]:
    """Decorate a formula of independent rows (all axes of its arrays but the last): several threads share the rows.

    `gpu` is the formula's twin for arrays on a GPU.
    """

    def decorate(formula: Formula) -> Formula:
        @wraps(formula)
        def call(x: Array, *others: Any) -> Array:
            if array_module(x) is not np:
                return gpu(x, *others)
            blocks = min(x.size // max(1, x.shape[-1]), -(-x.size // IN_CACHE))
            with np.errstate(over="ignore"):
                if blocks < 2 or inside_task() or _is_tapped(others):
                    return formula(x, *others)
                return _over_rows(formula, (x, *others), blocks, run_tasks)

        return call  # type: ignore[return-value]

    return decorate


def by_groups_of_rows(formula: Formula) -> Formula:
    """Decorate a formula of independent rows that makes wide intermediate arrays: one group of rows comes after the other.

    The operations inside the formula use the threads.
    """

    @wraps(formula)
    def call(x: Array, *others: Any) -> Array:
        at_once = IN_MEMORY if array_module(x) is np else IN_MEMORY * ON_GPU
        groups = min(x.size // max(1, x.shape[-1]), -(-x.size // at_once))
        if groups < 2 or _is_tapped(others) or is_recorded(x):
            return formula(x, *others)
        return _over_rows(formula, (x, *others), groups, run_in_turn)

    return call  # type: ignore[return-value]


def _is_tapped(arguments: tuple[Any, ...]) -> bool:
    """Return True if somebody listens to a formula of these arguments: values are tapped under the name of its weights."""
    return anybody_listens() and any(isinstance(a, Weights) for a in arguments)


def run_in_turn(tasks: Sequence[Callable[[], Any]]) -> None:
    """Run `tasks` one after the other."""
    for task in tasks:
        task()


def _over_rows(
    formula: Callable[..., Array], arguments: tuple[Any, ...], count: int, run_all: Callable[..., Any]
) -> Array:
    lead, rows = arguments[0].shape[:-1], arguments[0].size // arguments[0].shape[-1]
    whole: list[Any] = [
        a.reshape(rows, a.shape[-1]) if hasattr(a, "reshape") else a.held() if isinstance(a, Weights) else a
        for a in arguments
    ]
    result = Result()

    def run(place: slice) -> None:
        y = formula(*[a[place] if hasattr(a, "reshape") else a for a in whole])
        result.put(y, (rows, *y.shape[1:]), (place,))

    run_all([partial(run, place) for place in even_blocks(rows, count)])
    return result.array.reshape(*lead, -1)


class Result:
    """An array that is written block by block, by several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.array: Array = None

    def put(self, block: Array, shape: tuple[int, ...], place: tuple[slice, ...]) -> None:
        """Write `block` at `place` of the array, of `shape`."""
        with self._lock:
            if self.array is None:
                self.array = array_module(block).empty(shape, block.dtype)
        self.array[place] = block


class Mask:
    """A mask that the layers of one pass add to their scores. What blocks of queries see by it is found once, by the first layer.

    The numbers don't change while it lives.
    """

    def __init__(self, numbers: Float[Array, "#batch #heads tokens keys"]) -> None:
        self.numbers = numbers
        self._spans: dict[int, list[tuple[slice, slice]]] = {}

    def spans(self, blocks: Sequence[slice]) -> list[tuple[slice, slice]]:
        """Return the keys that each of the even `blocks` of queries reads, and those of them that the mask changes."""
        if len(blocks) not in self._spans:
            self._spans[len(blocks)] = [_visible(self.numbers[:, :, rows]) for rows in blocks]
        return self._spans[len(blocks)]


def by_queries(gpu: Callable[..., Any]) -> Callable[[Formula], Formula]:
    """Decorate `attend(q, k, v, mask, w)`: heads and queries don't depend on each other. `mask` may be a `Mask` then.

    A block is some queries of all heads that share their keys, or of several heads that share none where these have few
    scores. It reads only the keys from the first to the last that the mask lets any of its queries see: the others get the
    weight 0 in any case. So the fewer its queries are, the less of a causal mask is computed in vain.
    Where nobody listens, blocks in float32 and float64 are computed by `attend_in_place`, with fewer passes over the scores.
    `gpu` is the formula's twin for arrays on a GPU. There only the memory of the scores matters.
    """

    def decorate(formula: Formula) -> Formula:
        @wraps(formula)
        def call(q: Array, k: Array, v: Array, mask: Mask | Array | None, w: Weights) -> Array:
            on_gpu, numbers = array_module(q) is not np, mask.numbers if isinstance(mask, Mask) else mask
            scores, at_once = q.size // q.shape[-1] * k.shape[2], IN_MEMORY * ON_GPU**2 if on_gpu else IN_CACHE
            if scores > at_once and not any(is_listening(f"{w.name}.{value}") for value in ("scores", "weights")):
                if on_gpu:
                    return _over_queries(partial(gpu, w=w), q, k, v, numbers, -(-scores // at_once))
                return _over_heads_and_queries(partial(formula, w=w), q, k, v, mask)
            with np.errstate(over="ignore"):
                return (gpu if on_gpu else formula)(q, k, v, numbers, w)

        return call  # type: ignore[return-value]

    return decorate


def _over_queries(formula: Callable[..., Array], q: Array, k: Array, v: Array, mask: Array | None, count: int) -> Array:
    parts = even_blocks(q.shape[2], min(q.shape[2], count))
    blocks = [formula(q[:, :, rows], k, v, None if mask is None else mask[:, :, rows]) for rows in parts]
    return array_module(q).concatenate(blocks, axis=2)


def _over_heads_and_queries(
    formula: Callable[..., Array], q: Array, k: Array, v: Array, mask: Mask | Array | None
) -> Array:
    (batch, heads, queries, head_dim), (kv_heads, keys) = q.shape, k.shape[1:3]
    mask = Mask(mask) if isinstance(mask, np.ndarray) else mask
    in_place = not is_half(q.dtype) and not anybody_listens()
    # The heads of a token lie side by side in memory, as the next product reads them.
    result = np.empty((batch, queries, heads, head_dim), q.dtype).swapaxes(1, 2)

    def run(row: slice, head: slice, kv_head: slice, rows: slice, span: slice, masked: slice) -> None:
        part = q[row, head, rows], k[row, kv_head, span], v[row, kv_head, span]
        seen = None if mask is None else part_of(mask.numbers, row, head, rows, masked if in_place else span)
        with np.errstate(over="ignore"):
            result[row, head, rows] = (attend_in_place if in_place else formula)(*part, seen)

    blocks = _head_blocks(batch, heads, kv_heads, query_blocks(queries, heads // kv_heads, mask, keys))
    run_tasks([partial(run, *block) for block in blocks])
    return result


def part_of(mask: Array, row: slice, head: slice, queries: slice, keys: slice) -> Array:
    """Return the mask of a block; its first two axes may be one for all."""
    return mask[row if len(mask) > 1 else slice(None), head if mask.shape[1] > 1 else slice(None), queries, keys]


def _length(part: slice) -> int:
    return part.stop - part.start


def _head_blocks(
    batch: int, heads: int, kv_heads: int, queries: list[tuple[slice, slice, slice]]
) -> list[tuple[slice, slice, slice, slice, slice, slice]]:
    """Return (batch, heads, key heads, queries, keys, masked keys) of every block, the longest first."""
    group = together = heads // kv_heads
    if group == 1:
        longest = max(_length(rows) * _length(span) for rows, span, _ in queries)
        together = max(n for n in range(1, heads + 1) if heads % n == 0 and (n == 1 or n * longest <= SCORES))
    return [
        (slice(i, i + 1), slice(h, h + together), slice(h // group, -(-(h + together) // group)), *of_queries)
        for of_queries in reversed(queries)
        for i, h in product(range(batch), range(0, heads, together))
    ]


def query_blocks(queries: int, group: int, mask: Mask | None, keys: int) -> list[tuple[slice, slice, slice]]:
    """Return the blocks of queries, each with the keys that it reads, and those of them that the mask changes."""
    blocks = even_blocks(queries, -(-queries // max(1, ROWS_OF_SCORES // group)))
    spans = [(slice(0, keys), slice(0, 0))] * len(blocks) if mask is None else mask.spans(blocks)
    return [(rows, *of_keys) for rows, of_keys in zip(blocks, spans, strict=True)]


def _visible(mask: Array) -> tuple[slice, slice]:
    """Return the keys from the first to the last that any query sees; all of them if a query sees none, and weighs all alike.

    And the keys among them from the first one on whose mask isn't 0 for every query.
    """
    sees = mask > ml_dtypes.finfo(mask.dtype).min
    places = np.flatnonzero(sees.any(axis=(0, 1, 2))) if sees.any(axis=-1).all() else (0, mask.shape[-1] - 1)
    first, end = int(places[0]), int(places[-1]) + 1
    masked = np.flatnonzero(mask[..., first:end].any(axis=(0, 1, 2)))
    return slice(first, end), slice(first + int(masked[0]) if masked.size else end, end)


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
