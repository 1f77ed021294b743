"""Matrix products on a GPU: a whole stack of them is one call of cuBLAS, in the type that the arrays have.

CuPy's own `@` has no stacks of bfloat16 matrices, multiplies those of float16 in float32, copies operands that aren't
contiguous (such as the keys and values of a cache), and can't start from a bias. cuBLAS does all of this: a matrix may be
transposed, and its rows need not be contiguous. Heads are read where a linear layer wrote them, side by side in each token.
"""

import ctypes
import threading
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float, UInt8

from ovis2_ref.errors import DeviceError
from ovis2_ref.runtime.arrays import Array, array_module, expect_one_type, sum_dtype

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
    Raises `InputError` for arrays of two types.
    """
    expect_one_type(a, b)
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
    (a, of_a), (b, of_b) = _readable(a, cupy), _readable(b, cupy)
    rows, of_a, of_out, axes = _stack(a, b, out, of_a)
    *outer, (count, (a_step, b_step, out_step)) = axes or [(1, (0, 0, 0))]
    handle = _handle(cupy)
    # cuBLAS reads by columns; so read, a matrix stored by rows is its own transpose: out^T = b^T a^T.
    for a_first, b_first, out_first in _first_matrices(outer):
        _call(
            "cublasGemmStridedBatchedEx", handle, of_b.by_columns, of_a.by_columns, m, rows, k,
            one, b.data.ptr + b_first * b.itemsize, kind, of_b.pitch, b_step,
            a.data.ptr + a_first * a.itemsize, kind, of_a.pitch, a_step,
            zero if start is None else one, out.data.ptr + out_first * out.itemsize, kind, of_out.pitch, out_step,
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


class Layout(NamedTuple):
    """How the numbers of a matrix lie: by rows or by columns, and how many it is from one row (or column) to the next."""

    by_columns: bool
    pitch: int


Axes: TypeAlias = list[tuple[int, tuple[int, ...]]]
"""The axes of a stack: the length of each, and how many numbers it is from one matrix of a, b and out to the next."""


def _readable(
    x: Float[Array, "*batch rows columns"], cupy: ModuleType
) -> tuple[Float[Array, "*batch rows columns"], Layout]:
    """Return `x` and its layout; a copy if neither the numbers of a row nor those of a column lie side by side."""
    (rows, columns), (down, right) = x.shape[-2:], _steps(x)[-2:]
    if (right == 1 or columns == 1) and (down >= columns or rows == 1):
        return x, Layout(False, max(down if rows > 1 else columns, 1))
    if (down == 1 or rows == 1) and (right >= rows or columns == 1):
        return x, Layout(True, right if columns > 1 else rows)
    return cupy.ascontiguousarray(x), Layout(False, columns)


def _steps(x: Array) -> list[int]:
    """Return the strides of `x` in numbers."""
    return [step // x.itemsize for step in x.strides]


def _stack(
    a: Float[Array, "*batch n k"], b: Float[Array, "*shared k m"], out: Float[Array, "*batch n m"], of_a: Layout
) -> tuple[int, Layout, Layout, Axes]:
    """Return the rows of each product, the layouts of a and out, and the axes of the stack, as few as possible.

    The matrices of `a` that share one of `b` are read as one with more rows, if all those rows are evenly spaced.
    """
    (n, k), m, steps = a.shape[-2:], out.shape[-1], (_steps(a), _steps(b), _steps(out))
    of_out = Layout(False, steps[2][-2] if n > 1 else m)
    axes = [(a.shape[i], tuple(s[i] for s in steps)) for i in range(a.ndim - 3)]
    if a.ndim == 2:
        return n, of_a, of_out, []
    group, (a_step, b_step, out_step) = a.shape[-3] // b.shape[-3], (s[-3] for s in steps)
    axes.append((b.shape[-3], (group * a_step, b_step, group * out_step)))
    even = n == 1 or (a_step, out_step) == (n * of_a.pitch, n * of_out.pitch)
    if even and not of_a.by_columns and a_step >= k and out_step >= m:
        return group * n, Layout(False, a_step // n), Layout(False, out_step // n), _merged(axes)
    return n, of_a, of_out, _merged([*axes, (group, (a_step, 0, out_step))])


def _merged(axes: Axes) -> Axes:
    """Return the axes without those of length 1; two neighbours become one where the matrices are evenly spaced over both."""
    merged: Axes = []
    for length, steps in axes:
        if length == 1:
            continue
        if merged and merged[-1][1] == tuple(length * step for step in steps):
            merged[-1] = (merged[-1][0] * length, steps)
        else:
            merged.append((length, steps))
    return merged


def _first_matrices(axes: Axes) -> list[tuple[int, ...]]:
    """Return where the first matrices of each call begin, in numbers."""
    return [
        tuple(sum(i * steps[j] for i, (_, steps) in zip(place, axes, strict=True)) for j in range(3))
        for place in np.ndindex(*(length for length, _ in axes))
    ]
