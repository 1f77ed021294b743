"""Matrix products on a GPU: a whole stack of them is one call of cuBLAS, in the type that the arrays have.

CuPy's own `@` has no stacks of bfloat16 matrices, multiplies those of float16 in float32, copies operands that aren't
contiguous (such as the keys and values of a cache), and can't start from a bias. cuBLAS does all of this: a matrix may be
transposed, and its rows need not be contiguous; if the matrices of a stack are evenly spaced, nothing is copied.
"""

import ctypes
import threading
from functools import cache
from types import ModuleType
from typing import Any

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
    a: Float[Array, "*batch n k"], b: Float[Array, "*batch k m"], start: Float[Array, " m"] | None = None
) -> Float[Array, "*batch n m"]:
    """start + a b, summed in float32 (float64 for float64) and rounded once. `start` is the same for every row.

    cublasGemmStridedBatchedEx of CUDA 12 and 13, called directly: CuPy 14's binding refuses to be captured in a CUDA graph.
    """
    cupy = array_module(a)
    cublas = cupy.cuda.cublas
    (n, k), m = a.shape[-2:], b.shape[-1]
    shape = (*a.shape[:-1], m)
    out = cupy.empty(shape, dtype=a.dtype) if start is None else cupy.broadcast_to(start, shape).copy(order="C")
    if out.size == 0:
        return out
    kind, sums = TYPES[a.dtype.name]
    kind = getattr(cupy.cuda.runtime, kind)
    zero, one = ADDRESSES[sum_dtype(a.dtype).name]
    # cuBLAS reads by columns; so read, a matrix stored by rows is its own transpose: out^T = b^T a^T.
    a, a_turned, a_pitch, a_stride = _layout(a.reshape(-1, n, k), cupy)
    b, b_turned, b_pitch, b_stride = _layout(b.reshape(-1, k, m), cupy)
    _call(
        "cublasGemmStridedBatchedEx", _handle(cupy), b_turned, a_turned, m, n, k,
        one, b.data.ptr, kind, b_pitch, b_stride,
        a.data.ptr, kind, a_pitch, a_stride,
        zero if start is None else one, out.data.ptr, kind, m, n * m,
        len(a), getattr(cublas, sums), cublas.CUBLAS_GEMM_DEFAULT,
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


def _layout(
    x: Float[Array, "count rows columns"], cupy: ModuleType
) -> tuple[Float[Array, "count rows columns"], bool, int, int]:
    """Return `x`, or a copy if cuBLAS can't read its strides; whether it is stored by columns; how many numbers lie from one row
    (or column) to the next; and from one matrix to the next.
    """
    _, rows, columns = x.shape
    stride, down, right = (step // x.itemsize for step in x.strides)
    if (right == 1 or columns == 1) and (down >= columns or rows == 1):
        return x, False, max(down, columns) if rows > 1 else columns, stride
    if (down == 1 or rows == 1) and (right >= rows or columns == 1):
        return x, True, max(right, rows) if columns > 1 else rows, stride
    return cupy.ascontiguousarray(x), False, columns, rows * columns
