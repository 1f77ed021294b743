"""Matrix products on a GPU: a whole stack of them is one call of cuBLAS, in the type that the arrays have.

CuPy's own `@` has no stacks of bfloat16 matrices, multiplies those of float16 in float32, copies operands that aren't contiguous
(such as the keys and values of a cache), and can't start from a bias. cuBLAS does all of it: a matrix may be transposed and its
rows may lie apart; as long as the matrices of a stack lie evenly, nothing is copied.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float

from ovis2_ref.errors import DeviceError
from ovis2_ref.runtime.arrays import Array, array_module, sum_dtype

TYPES = {
    "float16": ("CUDA_R_16F", "CUBLAS_COMPUTE_32F"),
    "bfloat16": ("CUDA_R_16BF", "CUBLAS_COMPUTE_32F"),
    "float32": ("CUDA_R_32F", "CUBLAS_COMPUTE_32F"),
    "float64": ("CUDA_R_64F", "CUBLAS_COMPUTE_64F"),
}
"""What cuBLAS calls a type, and how it sums: float32 is summed as float32, not as TF32, whatever CUPY_TF32 says."""
FACTORS = {name: [np.array(factor, dtype=name) for factor in (0, 1)] for name in ("float32", "float64")}
"""The numbers that cuBLAS multiplies by, in the type of the sums; it reads them from the host."""
ADDRESSES = {name: [factor.ctypes.data for factor in factors] for name, factors in FACTORS.items()}


def cublas_product(
    a: Float[Array, "*batch n k"], b: Float[Array, "*batch k m"], start: Float[Array, " m"] | None = None
) -> Float[Array, "*batch n m"]:
    """start + a b, summed in float32 (float64 for float64) and rounded once. `start` is the same for every row.

    cublasGemmStridedBatchedEx of CUDA 12 and 13, through CuPy's binding; while the current stream is being captured, directly,
    after one product on that stream that was not.
    """
    cupy = array_module(a)
    cublas = cupy.cuda.cublas
    captured = cupy.cuda.get_current_stream().is_capturing()
    gemm = _capturable(cupy.cuda.runtime.runtimeGetVersion() // 1000) if captured else cublas.gemmStridedBatchedEx
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
    gemm(
        cupy.cuda.device.get_cublas_handle(), b_turned, a_turned, m, n, k,
        one, b.data.ptr, kind, b_pitch, b_stride,
        a.data.ptr, kind, a_pitch, a_stride,
        zero if start is None else one, out.data.ptr, kind, m, n * m,
        len(a), getattr(cublas, sums), cublas.CUBLAS_GEMM_DEFAULT,
    )  # fmt: skip
    return out


@cache
def _capturable(cuda: int) -> Callable[..., None]:
    """cuBLAS's own function, which CuPy 14's binding refuses to have captured. It goes on in the stream of the last call."""
    function = ctypes.CDLL(f"libcublas.so.{cuda}").cublasGemmStridedBatchedEx
    kinds: dict[str, Any] = {"i": ctypes.c_int, "l": ctypes.c_longlong, "p": ctypes.c_void_p}
    function.argtypes = [kinds[kind] for kind in "p iiiii p piil piil p piil iii".replace(" ", "")]

    def gemm(*arguments: int) -> None:
        status = function(*arguments)
        if status:
            raise DeviceError(f"cuBLAS could not be captured in a CUDA graph (cublasStatus_t {status})")

    return gemm


def _layout(
    x: Float[Array, "count rows columns"], cupy: ModuleType
) -> tuple[Float[Array, "count rows columns"], bool, int, int]:
    """`x`, or a copy if it lies as cuBLAS can't read it; is it stored by columns; numbers from one row (or column) to the next;
    and from one matrix to the next.
    """
    _, rows, columns = x.shape
    stride, down, right = (step // x.itemsize for step in x.strides)
    if (right == 1 or columns == 1) and (down >= columns or rows == 1):
        return x, False, max(down, columns) if rows > 1 else columns, stride
    if (down == 1 or rows == 1) and (right >= rows or columns == 1):
        return x, True, max(right, rows) if columns > 1 else rows, stride
    return cupy.ascontiguousarray(x), False, columns, rows * columns
