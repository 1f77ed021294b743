"""The stand-in's cuBLAS: one function, on the memory that its pointers name, read by columns as cuBLAS reads.

It knows nothing of arrays: a wrong pitch, stride or transposition reads wrong numbers, as it would on a GPU.
"""

import ctypes
from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np

from tests.standin.graph import changed, is_capturing

TYPES = {"CUDA_R_16BF": 14, "CUDA_R_16F": 2, "CUDA_R_32F": 0, "CUDA_R_64F": 1}
"""library_types.h of CUDA 13."""
DTYPES = {
    14: np.dtype(ml_dtypes.bfloat16),
    2: np.dtype(np.float16),
    0: np.dtype(np.float32),
    1: np.dtype(np.float64),
}
SUMS = {68: np.dtype(np.float32), 70: np.dtype(np.float64)}
"""cublasComputeType_t -> the type of sums and factors."""
WIDER = {"float32": np.dtype(np.float64), "float64": np.dtype(np.float64)}
"""The type in which the stand-in sums: a wider one, so that the result doesn't depend on the order of the sums."""


def matrices(pointer: int, kind: int, shape: tuple[int, int, int], strides: tuple[int, int, int]) -> np.ndarray:
    """Return the memory at `pointer` as an array, strides in numbers."""
    extent = 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    dtype = DTYPES[kind]
    memory = (ctypes.c_char * (extent * dtype.itemsize)).from_address(pointer)
    return np.ndarray(shape, dtype, memory, strides=tuple(s * dtype.itemsize for s in strides))


def number(pointer: int, dtype: np.dtype) -> np.generic:
    """Return the factor at `pointer`."""
    return np.frombuffer(ctypes.string_at(pointer, dtype.itemsize), dtype)[0]


def gemm_strided_batched_ex(
    handle: int, transa: int, transb: int, m: int, n: int, k: int,
    alpha: int, a: int, a_type: int, lda: int, a_stride: int,
    b: int, b_type: int, ldb: int, b_stride: int,
    beta: int, c: int, c_type: int, ldc: int, c_stride: int,
    count: int, compute_type: int, algorithm: int,
) -> None:  # fmt: skip
    """cublasGemmStridedBatchedEx: c = alpha op(a) op(b) + beta c for each of `count` matrices, c (m, n)."""
    sums = SUMS[compute_type]
    if lda < (k if transa else m) or ldb < (n if transb else k) or ldc < m or algorithm != -1:
        raise ValueError("CUBLAS_STATUS_INVALID_VALUE")
    if not a_type == b_type == c_type or (DTYPES[a_type] == np.float64) != (sums == np.float64):
        raise ValueError("CUBLAS_STATUS_NOT_SUPPORTED")
    left = matrices(a, a_type, (count, k, m), (a_stride, 1, lda) if transa else (a_stride, lda, 1))
    right = matrices(b, b_type, (count, n, k), (b_stride, 1, ldb) if transb else (b_stride, ldb, 1))
    out = matrices(c, c_type, (count, n, m), (c_stride, ldc, 1))
    factor, before = number(alpha, sums), number(beta, sums)
    wide = WIDER[sums.name]

    def multiply() -> None:
        with np.errstate(all="ignore"):
            result = (right.astype(wide) @ left.astype(wide)) * factor
            out[...] = result + before * out.astype(wide) if before else result

    changed(multiply)


HANDLES: dict[int, dict[str, int]] = {}
"""Handle -> its math mode, stream and workspace."""


class Library:
    """The library itself, as ctypes sees it: each function returns a status, 0 where it worked."""

    @staticmethod
    def cublasGemmStridedBatchedEx(handle: int, *arguments: int) -> int:  # noqa: N802
        """A product; on a handle that allows sums in 16 bits it is refused, and while capturing one without a workspace."""
        state = HANDLES[handle]
        if state["mode"] != 16 or (is_capturing() and not state["workspace"]):
            return 14
        gemm_strided_batched_ex(handle, *arguments)
        return 0

    @staticmethod
    def cublasSetStream_v2(handle: int, stream: int) -> int:  # noqa: N802
        """As in cuBLAS, the workspace is lost."""
        HANDLES[handle].update(stream=stream, workspace=0)
        return 0

    @staticmethod
    def cublasSetWorkspace_v2(handle: int, pointer: int, size: int) -> int:  # noqa: N802
        """Memory at a multiple of 256 bytes in cuBLAS; any here."""
        HANDLES[handle].update(workspace=pointer)
        return 0


def create() -> int:
    """Make a handle in the default mode."""
    HANDLES[len(HANDLES) + 1] = {"mode": 0, "stream": 0, "workspace": 0}
    return len(HANDLES)


def cublas(new_handle: Any = None) -> SimpleNamespace:
    """`cupy.cuda.cublas`."""
    return SimpleNamespace(
        create=new_handle or create,
        setMathMode=lambda handle, mode: HANDLES[handle].update(mode=mode),
        CUBLAS_COMPUTE_32F=68,
        CUBLAS_COMPUTE_64F=70,
        CUBLAS_GEMM_DEFAULT=-1,
    )
