"""Attention as one kernel on a GPU's tensor cores (attention.cu), where a model was loaded with `attn_implementation="sdpa"`.

The plain formula writes all scores to memory and reads them again three times. The kernel keeps them in registers. It also
rounds less: scores stay float32, as in torch's fused attention, and only the weights are rounded before they multiply the values.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from ovis2_ref.runtime.arrays import Array, array_module, is_half
from ovis2_ref.runtime.gpu.cuda_text import launch_attention, steps, with_whole_rows

QUERIES_OF_A_BLOCK = 64
FEWEST_QUERIES = 16
"""For fewer, the plain formula wastes less: a warp of the kernel computes 16 queries, whether they are there or not."""
COMPUTE_CAPABILITY = 80
"""8.0, the first whose tensor cores and copies have the instructions of tensor_cores.cuh."""

_asked: ContextVar[bool] = ContextVar("ovis2_ref_fused_attention", default=False)


@contextmanager
def fused_attention(asked: bool) -> Iterator[None]:
    """Compute attention by the kernel inside the block, where it is `asked` for and takes the arrays."""
    token = _asked.set(asked)
    try:
        yield
    finally:
        _asked.reset(token)


def takes(q: Array, mask: Array | None) -> bool:
    """Return True if the kernel was asked for and computes these queries: 16-bit numbers, heads of 16, 32, ... 128 of them."""
    return (
        _asked.get()
        and is_half(q.dtype)
        and q.shape[-1] % 16 == 0
        and 0 < q.shape[-1] <= 128
        and q.shape[-2] >= FEWEST_QUERIES
        and (mask is None or mask.dtype == q.dtype)
        and int(array_module(q).cuda.Device().compute_capability) >= COMPUTE_CAPABILITY
    )


def attend_in_one(q: Array, k: Array, v: Array, mask: Array | None) -> Array:
    """Return softmax(q k^T / sqrt(head_dim) + mask) v, (batch, heads, tokens, head_dim); a token's heads lie side by side."""
    xp, (batch, heads, tokens, head_dim), keys = array_module(q), q.shape, k.shape[-2]
    context = xp.empty((batch, tokens, heads, head_dim), dtype=q.dtype).swapaxes(1, 2)
    if context.size == 0:
        return context
    q, k, v = (_aligned(x) for x in (q, k, v))
    if mask is not None:
        mask = xp.broadcast_to(with_whole_rows(mask), (batch, heads, tokens, keys))
    between = [step for x in (q, k, v, context, mask) for step in ((0, 0, 0) if x is None else steps(x))]
    grid = -(-tokens // QUERIES_OF_A_BLOCK), heads, batch
    factor = np.float32(head_dim**-0.5)
    launch_attention(grid, head_dim, q, k, v, context, mask, factor, tokens, keys, heads // k.shape[1], *between)
    return context


def _aligned(x: Array) -> Array:
    """Return `x`, or a copy whose heads begin at multiples of 16 bytes, as the kernel reads them."""
    side_by_side = (
        x.strides[-1] == x.itemsize and x.data.ptr % 16 == 0 and all(step % 16 == 0 for step in x.strides[:3])
    )
    return x if side_by_side else array_module(x).ascontiguousarray(x)
