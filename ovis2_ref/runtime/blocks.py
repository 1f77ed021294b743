"""Blocks: run a plain formula over blocks of rows, or of heads and queries, that don't depend on each other.

The formula's text is the same for a block and for the whole. A block's intermediate arrays stay in the cache, blocks run on
several threads, and the memory that they need doesn't grow with the input. Tapped values are assembled from the blocks before
the listeners receive them. Blocks depend on shapes alone, so results don't depend on the number of threads.
"""

from collections.abc import Callable, Sequence
from functools import partial, wraps
from itertools import pairwise, product
from threading import Lock
from typing import Any, TypeVar
from weakref import ref

import ml_dtypes
import numpy as np

from ovis2_ref.runtime.arrays import Array, array_module, is_half
from ovis2_ref.runtime.in_place import attend_in_place
from ovis2_ref.runtime.tape import is_recorded
from ovis2_ref.runtime.taps import anybody_listens, collecting, tap
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


class Assembly:
    """Whole arrays that are written block by block: a result, or tapped values."""

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        self._lock = Lock()

    def put(
        self, name: str, block: Array, shape: tuple[int, ...], place: tuple[slice, ...], fill: float | None = None
    ) -> None:
        """Write `block` at `place` of the array called `name`, of `shape`; `fill` goes where no block is written."""
        with self._lock:
            if name not in self.arrays:
                xp = array_module(block)
                new = xp.empty(shape, block.dtype) if fill is None else xp.full(shape, fill, block.dtype)
                self.arrays[name] = new
        self.arrays[name][place] = block


def even_blocks(length: int, count: int) -> list[slice]:
    """Cut `length` into `count` slices of nearly equal length."""
    return [slice(start, end) for start, end in pairwise(length * i // count for i in range(count + 1))]


def by_rows(formula: Formula) -> Formula:
    """Decorate a formula of independent rows (all axes of its arrays but the last): several threads share the rows."""

    @wraps(formula)
    def call(x: Array, *others: Any) -> Array:
        blocks = min(x.size // max(1, x.shape[-1]), -(-x.size // IN_CACHE))
        if blocks < 2 or array_module(x) is not np or inside_task():
            return formula(x, *others)
        return _over_rows(formula, (x, *others), blocks, run_tasks)

    return call  # type: ignore[return-value]


def by_groups_of_rows(formula: Formula) -> Formula:
    """Decorate a formula of independent rows that makes wide intermediate arrays: one group of rows comes after the other.

    The operations inside the formula use the threads.
    """

    @wraps(formula)
    def call(x: Array, *others: Any) -> Array:
        at_once = IN_MEMORY if array_module(x) is np else IN_MEMORY * ON_GPU
        groups = min(x.size // max(1, x.shape[-1]), -(-x.size // at_once))
        return (
            formula(x, *others)
            if groups < 2 or is_recorded(x)
            else _over_rows(formula, (x, *others), groups, run_in_turn)
        )

    return call  # type: ignore[return-value]


def run_in_turn(tasks: Sequence[Callable[[], Any]]) -> None:
    """Run `tasks` one after the other."""
    for task in tasks:
        task()


def _over_rows(
    formula: Callable[..., Array], arguments: tuple[Any, ...], count: int, run_all: Callable[..., Any]
) -> Array:
    lead, rows = arguments[0].shape[:-1], arguments[0].size // arguments[0].shape[-1]
    result, taps = Assembly(), Assembly()
    whole: list[Any] = [
        a.reshape(rows, a.shape[-1]) if hasattr(a, "reshape") else a.held() if isinstance(a, Weights) else a
        for a in arguments
    ]

    def run(place: slice) -> None:
        def put(name: str, block: Array) -> None:
            taps.put(name, block, (rows, *block.shape[1:]), (place,))

        with collecting(put):
            y = formula(*[a[place] if hasattr(a, "reshape") else a for a in whole])
        result.put("", y, (rows, *y.shape[1:]), (place,))

    run_all([partial(run, place) for place in even_blocks(rows, count)])
    for name, value in taps.arrays.items():
        tap(name, value.reshape(*lead, *value.shape[1:]))
    return result.arrays[""].reshape(*lead, -1)


def by_queries(formula: Formula) -> Formula:
    """Decorate `attend(q, k, v, mask, w)`: heads and queries don't depend on each other.

    A block is some queries of all heads that share their keys, or of several heads that share none where these have few
    scores. It reads only the keys from the first to the last that the mask lets any of its queries see: the others get the
    weight 0 in any case. So the fewer its queries are, the less of a causal mask is computed in vain.
    Where nobody listens, blocks in float32 and float64 are computed by `attend_in_place`, with fewer passes over the scores.
    """

    @wraps(formula)
    def call(q: Array, k: Array, v: Array, mask: Array | None, w: Weights) -> Array:
        xp, (batch, heads, queries, head_dim), (kv_heads, keys) = array_module(q), q.shape, k.shape[1:3]
        scores = batch * heads * queries * keys
        if xp is not np:
            pieces = even_blocks(queries, min(queries, -(-scores // (IN_MEMORY * ON_GPU**2))))
            blocks = [(slice(None), slice(None), slice(None), rows, slice(None), slice(None)) for rows in pieces]
        elif scores <= IN_CACHE:
            return formula(q, k, v, mask, w)
        else:
            blocks = _head_blocks(batch, heads, kv_heads, _query_blocks(queries, heads // kv_heads, mask, keys))
        if len(blocks) == 1:
            return formula(q, k, v, mask, w)
        in_place = xp is np and not is_half(q.dtype) and not anybody_listens()
        result, taps = Assembly(), Assembly()

        def run(row: slice, head: slice, kv_head: slice, rows: slice, span: slice, masked: slice) -> None:
            def put(name: str, block: Array) -> None:  # scores, or weights
                fill = float(ml_dtypes.finfo(block.dtype).min) if name.endswith(".scores") else 0
                taps.put(name, block, (batch, heads, queries, keys), (row, head, rows, span), fill)

            part = q[row, head, rows], k[row, kv_head, span], v[row, kv_head, span]
            keys_masked = masked if in_place else span
            seen = None if mask is None else mask[_of(mask, 0, row), _of(mask, 1, head), rows, keys_masked]
            with collecting(put):
                y = attend_in_place(*part, seen) if in_place else formula(*part, seen, w)
            # The heads of a token lie side by side in memory, as the next product reads them.
            result.put("", y.swapaxes(1, 2), (batch, queries, heads, head_dim), (row, rows, head))

        (run_tasks if xp is np else run_in_turn)([partial(run, *block) for block in blocks])
        for name, value in taps.arrays.items():
            tap(name, value)
        return result.arrays[""].swapaxes(1, 2)

    return call  # type: ignore[return-value]


def _of(mask: Array, axis: int, part: slice) -> slice:
    """Return `part`, or all of an axis that is one for all."""
    return part if mask.shape[axis] > 1 else slice(None)


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


def _query_blocks(queries: int, group: int, mask: Array | None, keys: int) -> list[tuple[slice, slice, slice]]:
    """Return the blocks of queries, each with the keys that it sees, and those of them that some of its queries don't see."""
    blocks = even_blocks(queries, -(-queries // max(1, ROWS_OF_SCORES // group)))
    if mask is None:
        return [(rows, slice(0, keys), slice(0, 0)) for rows in blocks]
    key = id(mask), len(blocks)
    known = _spans.get(key)
    if known is None or known[0]() is not mask:  # the layers of a pass share their mask
        known = _spans[key] = (
            ref(mask, lambda _: _spans.pop(key, None)),
            [_visible(mask[:, :, rows]) for rows in blocks],
        )
    return [(rows, *spans) for rows, spans in zip(blocks, known[1], strict=True)]


_spans: dict[tuple[int, int], tuple[ref, list[tuple[slice, slice]]]] = {}


def _visible(mask: Array) -> tuple[slice, slice]:
    """Return the keys from the first to the last that any query sees; all of them if a query sees none, and weighs all alike.

    And the keys among them from the first one on whose mask isn't 0 for every query.
    """
    sees = mask > ml_dtypes.finfo(mask.dtype).min
    places = np.flatnonzero(sees.any(axis=(0, 1, 2))) if sees.any(axis=-1).all() else (0, mask.shape[-1] - 1)
    first, end = int(places[0]), int(places[-1]) + 1
    masked = np.flatnonzero(mask[..., first:end].any(axis=(0, 1, 2)))
    return slice(first, end), slice(first + int(masked[0]) if masked.size else end, end)
