"""The stand-in's `cupy.RawModule`: the kernels of rows.cu as NumPy formulas, called with the same grids and arguments.

A wrong grid, shape, stride or type raises, or gives wrong numbers. The CUDA text itself runs in test_rows.py, and on a GPU.
"""

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


KERNELS: dict[str, Callable[..., None]] = {f.__name__: f for f in (rms_norm, layer_norm, softmax, rotate)}


class RawModule:
    """CUDA text, compiled for the types in `options`."""

    def __init__(self, *, code: str, options: tuple[str, ...]) -> None:
        defined = dict(option.removeprefix("-D").split("=") for option in options)
        self.code, self.dtype, self.wide = code, TYPES[defined["NUMBER"]], TYPES[defined["WIDE"]]

    def get_function(self, name: str) -> Callable[..., None]:
        """Return the kernel `name`."""
        if f"__global__ void {name}(" not in self.code:
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
        host = [a._host if isinstance(a, ndarray) else a for a in arguments]
        changed(lambda: KERNELS[name](grid, *host))
