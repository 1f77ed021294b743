"""The stand-in's `cupy.RawModule`: the CUDA kernels as NumPy formulas, called with the same grids and arguments.

A wrong grid, shape, stride or type raises, or gives wrong numbers. The CUDA text itself runs in test_cuda_text.py, and on a GPU.
"""

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.standin.array import ndarray
from tests.standin.graph import changed

TYPES = {"__half": "float16", "__nv_bfloat16": "bfloat16", "float": "float32", "double": "float64"}
Host = np.ndarray


def strided(memory: Host, shape: tuple[int, ...], steps: tuple[int, ...]) -> Host:
    """Return the numbers of `memory` that lie `steps` apart."""
    assert all(step >= 0 for step in steps)
    return np.lib.stride_tricks.as_strided(memory, shape, [step * memory.itemsize for step in steps])


def rms_norm(grid: tuple[int, ...], x: Host, weight: Host, y: Host, width: int, eps: Any) -> None:
    wide = x.reshape(grid[0], width).astype(eps.dtype, copy=False)
    normed = wide * (1 / np.sqrt((wide * wide).mean(axis=-1, keepdims=True) + eps))
    y[...] = (normed.astype(x.dtype) * weight).reshape(y.shape)


def layer_norm(grid: tuple[int, ...], x: Host, weight: Host, bias: Host, y: Host, width: int, eps: Any) -> None:
    wide = x.reshape(grid[0], width).astype(eps.dtype, copy=False)
    centred = wide - wide.mean(axis=-1, keepdims=True)
    normed = centred / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + eps)
    y[...] = (normed * weight + bias).astype(x.dtype).reshape(y.shape)


def softmax(
    grid: tuple[int, ...], x: Host, y: Host, keys: int, factor: Any, mask: Any, query: int, head: int, batch: int
) -> None:
    queries, heads, rows = grid
    scores = x.reshape(rows, heads, queries, keys)
    scores = (scores.astype(factor.dtype, copy=False) * factor).astype(x.dtype)
    if isinstance(mask, Host):
        assert mask.dtype == x.dtype
        scores = scores + strided(mask, scores.shape, (batch, head, query, 1))
    e = np.exp(scores.astype(factor.dtype, copy=False) - scores.max(axis=-1, keepdims=True))
    y[...] = (e / e.sum(axis=-1, keepdims=True)).astype(x.dtype).reshape(y.shape)


def rotate(
    grid: tuple[int, ...], x: Host, cos: Host, sin: Host, y: Host, pairs: int, token: int, head: int, batch: int,
    token_of_table: int, batch_of_table: int,
) -> None:  # fmt: skip
    tokens, heads, rows = grid
    x = strided(x, (rows, heads, tokens, 2 * pairs), (batch, head, token, 1))
    cos, sin = (strided(t, (rows, tokens, pairs), (batch_of_table, token_of_table, 1))[:, None] for t in (cos, sin))
    a, b = x[..., :pairs], x[..., pairs:]
    y[...] = np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1).reshape(y.shape)


def attention(
    grid: tuple[int, ...], q: Host, k: Host, v: Host, out: Host, mask: Any, factor: Any, queries: int, keys: int, group: int,
    *steps: int,
) -> None:  # fmt: skip
    blocks, heads, rows = grid
    assert blocks == -(-queries // 64)
    of_q, of_k, of_v, of_out, of_mask = ((*reversed(steps[i : i + 3]), 1) for i in range(0, 15, 3))
    head_dim, kind = q.shape[-1], q.dtype
    assert all(x.ctypes.data % 16 == 0 for x in (q, k, v))
    assert all(x.shape[i] == 1 or s[i] % 8 == 0 for x, s in ((q, of_q), (k, of_k), (v, of_v)) for i in range(3))
    q = strided(q, (rows, heads, queries, head_dim), of_q)
    k, v = (strided(x, (rows, heads // group, keys, head_dim), of_x) for x, of_x in ((k, of_k), (v, of_v)))
    q, k, v = (x.astype(np.float32) for x in (q, np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)))
    scores = q @ k.swapaxes(-1, -2) * factor
    if isinstance(mask, Host):
        scores = scores + strided(mask, scores.shape, of_mask).astype(np.float32)
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    context = e.astype(kind).astype(np.float32) @ v / e.sum(axis=-1, keepdims=True)
    strided(out, q.shape, of_out)[...] = context.astype(kind)


KERNELS: dict[str, Callable[..., None]] = {f.__name__: f for f in (rms_norm, layer_norm, softmax, rotate, attention)}


class RawModule:
    """CUDA text, compiled for the types in `options`."""

    def __init__(self, *, code: str, options: tuple[str, ...]) -> None:
        defined = dict(option.removeprefix("-D").split("=") for option in options)
        self.code, self.dtype, self.defined = code, TYPES[defined["NUMBER"]], defined
        self.wide = TYPES[defined.get("WIDE", "float")]

    def get_function(self, name: str) -> Callable[..., None]:
        """Return the kernel `name`."""
        if not re.search(rf"__global__ void .*\b{name}\(", self.code):
            raise KeyError(name)
        return lambda grid, block, arguments: self._run(name, grid, block, arguments)

    def _run(self, name: str, grid: tuple[int, ...], block: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
        whole_warps = 0 < block[0] <= 1024 and block[0] % 32 == 0
        if not whole_warps or min(grid) < 1 or max(grid[1:], default=0) > 65535:
            raise ValueError("CUDA_ERROR_INVALID_VALUE: invalid argument")
        for a in arguments:
            if isinstance(a, ndarray):
                assert a.dtype == self.dtype
            else:
                assert isinstance(a, int) or a.dtype == self.wide, f"{a!r} is passed as {type(a)}"
        assert self.defined.get("HEAD_DIM") in (None, str(arguments[0].shape[-1]))
        assert self.defined.get("KIND") in (None, '"f16"' if self.dtype == "float16" else '"bf16"')
        host = [a._host if isinstance(a, ndarray) else a for a in arguments]
        changed(lambda: KERNELS[name](grid, *host))
