"""Matrix products a @ b: the type of the sums, threads on a CPU, cuBLAS on a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from itertools import product

import numpy as np
from jaxtyping import Float

from ovis2_ref.runtime.arrays import Array, array_module, widened
from ovis2_ref.runtime.blocks import even_blocks
from ovis2_ref.runtime.gpu.cublas import cublas_product
from ovis2_ref.runtime.taps import anybody_listens
from ovis2_ref.runtime.threads import blas_threads, inside_task, num_threads, run_tasks

SMALLEST_PIECE = 2**18
"""Multiplications of a piece at least; a smaller one isn't worth a thread (reading 2^18 weights takes some 50 microseconds)."""
SMALLEST_OF_ROWS = 2**23
"""The same where rows are divided, so that each piece copies all weights: it takes 150 microseconds then."""
ROWS, COLUMNS, PIECES = 1024, 256, 16
"""Rows of a piece while somebody listens, its columns at least, and pieces side by side at most: BLAS copies both operands, and
narrow pieces copy the first one more often."""
FEW_ROWS, UNCOPIED = 16, 10**6
"""With few rows, copying the second operand takes most of the time. OpenBLAS makes no copy up to 10^6 multiplications."""
MANY_COLUMNS = 256
"""Columns from which a stack of products of few rows (the scores of a decoding step) is computed turned, in half of the time."""

_step: ContextVar[bool] = ContextVar("ovis2_ref_decoding_step", default=False)


@contextmanager
def decoding_step(is_step: bool) -> Iterator[None]:
    """Compute the products inside the block as those of a step after which others follow, if `is_step`.

    Products of a single row are left to BLAS's own threads then, which start sooner: a step of a small model takes 30 % less
    time. These threads wait for the next product without sleeping, which slows down everything else for some 20 ms.
    """
    token = _step.set(is_step)
    try:
        yield
    finally:
        _step.reset(token)


def matmul(
    a: Float[Array, "*batch n k"], b: Float[Array, "*batch k m"], start: Float[Array, " m"] | None = None
) -> Float[Array, "*batch n m"]:
    """start + a b. Float16 and bfloat16 are summed in float32 and rounded once, at the end."""
    if array_module(a) is not np:
        return cublas_product(a, b, start)
    if a.ndim == 2:
        return _by_pieces(widened(a), b, start).astype(a.dtype, copy=False)
    with blas_threads(1):
        few_by_many = 1 < a.shape[-2] <= FEW_ROWS and b.shape[-1] >= MANY_COLUMNS
        y = _turned_product(widened(a), widened(b)) if few_by_many else widened(a) @ widened(b)
    return (y if start is None else y + start).astype(a.dtype, copy=False)


def _turned_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(b^T a^T)^T, which is a b: BLAS copies the second operand, and so turned that is the small one."""
    return np.ascontiguousarray((b.swapaxes(-1, -2) @ a.swapaxes(-1, -2)).swapaxes(-1, -2))


def _by_pieces(a: np.ndarray, b: np.ndarray, start: np.ndarray | None) -> np.ndarray:
    """start + a b, in pieces of rows and columns on several threads.

    While somebody listens, the pieces depend on the shapes alone, so that the bits don't depend on the number of threads. Without
    a listener there are as many pieces as threads, which is up to a tenth faster.
    """
    (n, k), m = a.shape, b.shape[1]
    if n == 1 and _step.get() and k * m >= 2 * SMALLEST_PIECE and a.dtype == b.dtype and not anybody_listens():
        with blas_threads(num_threads()):
            y = a @ b
        return y if start is None else y + start
    rows, columns = _cuts(n, k, m)
    if 1 < n <= FEW_ROWS and n * k * m > UNCOPIED:
        return _few_rows(a, b, start, columns)
    if rows * columns == 1:
        with blas_threads(1):
            y = a @ widened(b)
        return y if start is None else y + start
    y = np.empty((n, m), dtype=a.dtype)

    def run(rows: slice, columns: slice) -> None:
        if n == 1:  # np.matmul keeps Python's global lock while it makes fewer than 500 numbers, np.dot never does
            y[:, columns] = np.dot(a, widened(b[:, columns]))
        else:
            np.matmul(a[rows], widened(b[:, columns]), out=y[rows, columns])
        if start is not None:
            y[rows, columns] += start[columns]

    run_tasks([partial(run, *piece) for piece in product(even_blocks(n, rows), even_blocks(m, columns))])
    return y


def _few_rows(a: np.ndarray, b: np.ndarray, start: np.ndarray | None, pieces: int) -> np.ndarray:
    """start + (b^T a^T)^T, in pieces of columns on several threads, each in parts small enough for BLAS not to copy."""
    (n, k), m = a.shape, b.shape[1]
    turned, y, at_once = np.ascontiguousarray(a.T), np.empty((m, n), dtype=a.dtype), max(16, UNCOPIED // (n * k))

    def run(columns: slice) -> None:
        for first in range(columns.start, columns.stop, at_once):
            part = slice(first, min(first + at_once, columns.stop))
            np.dot(widened(b[:, part]).T, turned, out=y[part])

    run_tasks([partial(run, piece) for piece in even_blocks(m, pieces)])
    y = np.ascontiguousarray(y.T)
    return y if start is None else y + start


def _cuts(n: int, k: int, m: int) -> tuple[int, int]:
    """Return into how many rows and columns of pieces a product (n, k) (k, m) is cut."""
    most, wide = max(1, min(PIECES, n * k * m // SMALLEST_PIECE)), max(1, m // COLUMNS)
    if anybody_listens():
        columns = 1 << (min(most, wide).bit_length() - 1)  # a power of two: threads finish together
        return max(1, n // ROWS), columns
    if inside_task():
        return 1, 1
    most = min(most, num_threads())
    tall = 1 if n <= FEW_ROWS else min(most, n * k * m // SMALLEST_OF_ROWS)
    return (1, min(most, wide)) if tall <= wide else (tall, 1)
