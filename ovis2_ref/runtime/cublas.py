"""Matrix products on a GPU: a whole stack of them is one call of cuBLAS, in the type that the arrays have.

CuPy's own `@` has no stacks of bfloat16 matrices, multiplies those of float16 in float32, copies operands that aren't
contiguous (such as the keys and values of a cache), and can't start from a bias. cuBLAS does all of this: a matrix may be
transposed, and its rows need not be contiguous. Heads are read where a linear layer wrote them, side by side in each token.
"""

import ctypes
import threading
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from ovis2_ref.errors import DeviceError
from ovis2_ref.runtime.arrays import Array, array_module, sum_dtype

TYPES = {
    "float16": ("CUDA_R_16F", "CUBLAS_COMPUTE_32F"),
    "bfloat16": ("CUDA_R_16BF", "CUBLAS_COMPUTE_32F"),
    "float32": ("CUDA_R_32F", "CUBLAS_COMPUTE_32F"),
    "float64": ("CUDA_R_64F", "CUBLAS_COMPUTE_64F"),
}
"""cuBLAS's names of a type and of the type of its sums: float32 is summed as float32, not as TF32, whatever CUPY_TF32 says."""
FACTORS = {name: [np.array(factor, dtype=name) for factor in (0, 1)] for name in ("float32", "float64")}
"""The factors 1 and 0 in the type of the sums; cuBLAS reads them from the host."""
ADDRESSES = {name: [factor.ctypes.data for factor in factors] for name, factors in FACTORS.items()}


DISALLOW_REDUCED_PRECISION_REDUCTION = 16
"""The bit of cublasMath_t of that name."""
WORKSPACE = 32 * 2**20
"""Bytes of a workspace: what NVIDIA recommends for Hopper, more than for older GPUs."""
SIGNATURES = {
    "cublasGemmStridedBatchedEx": "p iiiii p piil piil p piil iii",
    "cublasSetStream_v2": "pp",
    "cublasSetWorkspace_v2": "pps",
}
"""Arguments: int, long long, pointer, size_t."""


def cublas_product(
    a: Float[Array, "*batch n k"],
    b: Float[Array, "*shared k m"],
    start: Float[Array, " m"] | None = None,
    out: Float[Array, "*batch n m"] | None = None,
) -> Float[Array, "*batch n m"]:
    """start + a b, summed in float32 (float64 for float64) and rounded once. `start` is the same for every row.

    Where `b` has fewer matrices than `a`, each is multiplied with several of `a` in a row. `out` without `start`: where to write;
    the numbers of a row lie side by side there.

    cublasGemmStridedBatchedEx of CUDA 12 and 13, called directly: CuPy 14's binding refuses to be captured in a CUDA graph.
    """
    cupy = array_module(a)
    cublas = cupy.cuda.cublas
    k, m = b.shape[-2:]
    shape = (*a.shape[:-1], m)
    if out is None:
        out = cupy.empty(shape, dtype=a.dtype) if start is None else cupy.broadcast_to(start, shape).copy(order="C")
    if out.size == 0:
        return out
    kind, sums = TYPES[a.dtype.name]
    kind, sums = getattr(cupy.cuda.runtime, kind), getattr(cublas, sums)
    zero, one = ADDRESSES[sum_dtype(a.dtype).name]
    a, b = _readable(a, cupy), _readable(b, cupy)
    stack = _stack(a, b, out)
    *outer, (count, (a_step, b_step, out_step)) = stack.axes or [(1, (0, 0, 0))]
    handle = _handle(cupy)
    # cuBLAS reads by columns; so read, a matrix stored by rows is its own transpose: out^T = b^T a^T.
    for a_place, b_place, out_place in _places(outer):
        _call(
            "cublasGemmStridedBatchedEx", handle, stack.b.turned, stack.a.turned, m, stack.rows, k,
            one, b.data.ptr + b_place * b.itemsize, kind, stack.b.pitch, b_step,
            a.data.ptr + a_place * a.itemsize, kind, stack.a.pitch, a_step,
            zero if start is None else one, out.data.ptr + out_place * out.itemsize, kind, stack.out.pitch, out_step,
            count, sums, cublas.CUBLAS_GEMM_DEFAULT,
        )  # fmt: skip
    return out


def reserve_workspace(cupy: ModuleType) -> UInt8[Array, " bytes"]:
    """Give cuBLAS a workspace on the current stream, and return it: it has to live as long as products run there.

    Without it, cuBLAS allocates while a stream is being captured, and the allocations become part of the graph. Call this after
    the first product on the stream: setting another stream resets the workspace.
    """
    workspace = cupy.empty(WORKSPACE, dtype=np.uint8)
    _call("cublasSetWorkspace_v2", _handle(cupy), workspace.data.ptr, WORKSPACE)
    return workspace


class _Handles(threading.local):
    """A thread's cuBLAS handles by device, and the stream that each was set to last."""

    def __init__(self) -> None:
        self.handles: dict[int, int] = {}
        self.streams: dict[int, int] = {}


_own = _Handles()


def _handle(cupy: ModuleType) -> int:
    """Return this thread's handle on the current device, set to the current stream.

    It is not CuPy's, so that no other code changes its mode, stream or workspace. The mode forbids cuBLAS to add the parts of a
    product that is split over k in 16 bits.
    """
    device, stream = cupy.cuda.Device().id, cupy.cuda.get_current_stream().ptr
    if device not in _own.handles:
        handle = _own.handles[device] = cupy.cuda.cublas.create()
        cupy.cuda.cublas.setMathMode(handle, DISALLOW_REDUCED_PRECISION_REDUCTION)
    if _own.streams.get(device) != stream:
        _call("cublasSetStream_v2", _own.handles[device], stream)
        _own.streams[device] = stream
    return _own.handles[device]


def _call(name: str, *arguments: int) -> None:
    status = getattr(_library(), name)(*arguments)
    if status:
        raise DeviceError(f"{name} failed (cublasStatus_t {status}); see NVIDIA's cuBLAS documentation for the number")


@cache
def _library() -> ctypes.CDLL:
    """Return cuBLAS, the file that CuPy 14 loads (it finds CUDA's libraries with cuda-pathfinder on every system)."""
    from cuda.pathfinder import load_nvidia_dynamic_lib

    library = ctypes.CDLL(load_nvidia_dynamic_lib("cublas").abs_path)
    kinds: dict[str, Any] = {"i": ctypes.c_int, "l": ctypes.c_longlong, "p": ctypes.c_void_p, "s": ctypes.c_size_t}
    for name, arguments in SIGNATURES.items():
        getattr(library, name).argtypes = [kinds[kind] for kind in arguments.replace(" ", "")]
    return library


class Lie(NamedTuple):
    """How the numbers of a matrix lie: by columns (`turned`) or by rows, and how far it is from one to the next."""

    turned: bool
    pitch: int


class Stack(NamedTuple):
    """The products of a stack: the rows of each, how its matrices lie, and the axes: lengths, and the steps of a, b and out."""

    rows: int
    a: Lie
    b: Lie
    out: Lie
    axes: list[tuple[int, tuple[int, ...]]]


def _stack(a: Float[Array, "*batch n k"], b: Float[Array, "*shared k m"], out: Float[Array, "*batch n m"]) -> Stack:
    """Return how to call cuBLAS: matrices of `a` that share one of `b` as one with more rows, if they lie so; few axes."""
    rows, steps = a.shape[-2], [[step // x.itemsize for step in x.strides] for x in (a, b, out)]
    lie_a, lie_b, lie_out = (_lie(x, s) for x, s in zip((a, b, out), steps, strict=True))
    axes = [(a.shape[i], tuple(s[i] for s in steps)) for i in range(a.ndim - 3)]
    if a.ndim > 2:
        group = a.shape[-3] // b.shape[-3]
        of_a, of_b, of_out = (s[-3] for s in steps)
        axes.append((b.shape[-3], (group * of_a, of_b, group * of_out)))
        joined = rows == 1 or (of_a, of_out) == (rows * steps[0][-2], rows * steps[2][-2])
        if joined and not lie_a.turned and of_a >= a.shape[-1] and of_out >= out.shape[-1]:
            if rows == 1:
                lie_a, lie_out = Lie(False, of_a), Lie(False, of_out)
            rows *= group
        else:
            axes.append((group, (of_a, 0, of_out)))
    return Stack(rows, lie_a, lie_b, lie_out, _merged(axes))


def _merged(axes: list[tuple[int, tuple[int, ...]]]) -> list[tuple[int, tuple[int, ...]]]:
    """Return the axes with neighbours made one where the steps of both are even, without axes of length 1."""
    merged: list[tuple[int, tuple[int, ...]]] = []
    for length, steps in axes:
        if length == 1:
            continue
        if merged and merged[-1][1] == tuple(length * step for step in steps):
            merged[-1] = (merged[-1][0] * length, steps)
        else:
            merged.append((length, steps))
    return merged


def _places(axes: list[tuple[int, tuple[int, ...]]]) -> list[tuple[int, ...]]:
    """Return where the matrices of each call begin, in numbers."""
    places: list[tuple[int, ...]] = [(0, 0, 0)]
    for length, steps in axes:
        places = [
            tuple(p + i * s for p, s in zip(place, steps, strict=True)) for place in places for i in range(length)
        ]
    return places


def _readable(x: Float[Array, "*batch rows columns"], cupy: ModuleType) -> Float[Array, "*batch rows columns"]:
    """Return `x`, or a copy if cuBLAS can't read its matrices: the numbers of a row or of a column have to lie side by side."""
    (rows, columns), (down, right) = x.shape[-2:], (step // x.itemsize for step in x.strides[-2:])
    by_rows = (right == 1 or columns == 1) and (down >= columns or rows == 1)
    by_columns = (down == 1 or rows == 1) and (right >= rows or columns == 1)
    return x if by_rows or by_columns else cupy.ascontiguousarray(x)


def _lie(x: Float[Array, "*batch rows columns"], steps: list[int]) -> Lie:
    """Return how the matrices of a readable `x` lie."""
    (rows, columns), (down, right) = x.shape[-2:], steps[-2:]
    if (right == 1 or columns == 1) and (down >= columns or rows == 1):
        return Lie(False, max(down, columns, 1) if rows > 1 else max(columns, 1))
    return Lie(True, max(right, rows) if columns > 1 else rows)
