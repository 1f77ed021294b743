"""Kernels that are written as CUDA text, compiled on first use for each type of the arrays (by NVRTC, through CuPy)."""

from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from ovis2_ref.runtime.arrays import Array, array_module, expect_one_type, sum_dtype

TYPES = {"float16": "__half", "bfloat16": "__nv_bfloat16", "float32": "float", "float64": "double"}
"""CUDA's names of the compute types."""
ROWS = Path(__file__).with_name("rows.cu")


def launch(name: str, grid: tuple[int, ...], threads: int, x: Array, *arguments: Any) -> None:
    """Run the kernel `name` of rows.cu, compiled for the type of `x`, its first argument: `grid` blocks of `threads` threads.

    Array arguments are contiguous, unless the kernel takes their strides; None is a null pointer. Whole numbers are passed as
    64-bit numbers; fractions have to be NumPy's numbers of the type that the kernel takes. Raises `InputError` for arrays of
    another type than `x`.
    """
    expect_one_type(x, *(a for a in arguments if isinstance(a, type(x))))
    kernel = _kernel(array_module(x), name, x.dtype.name, sum_dtype(x.dtype).name)
    kernel(grid, (threads,), (x, *(0 if a is None else a for a in arguments)))


@cache
def _kernel(cupy: ModuleType, name: str, number: str, wide: str) -> Any:
    return _module(cupy, number, wide).get_function(name)


@cache
def _module(cupy: ModuleType, number: str, wide: str) -> Any:
    return cupy.RawModule(code=ROWS.read_text(), options=(f"-DNUMBER={TYPES[number]}", f"-DWIDE={TYPES[wide]}"))
