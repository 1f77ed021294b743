"""Kernels that are written as CUDA text, compiled on first use for each type of the arrays (by NVRTC, through CuPy)."""

from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from ovis2_ref.runtime.arrays import Array, array_module, expect_one_type, sum_dtype

TYPES = {"float16": "__half", "bfloat16": "__nv_bfloat16", "float32": "float", "float64": "double"}
"""CUDA's names of the compute types."""
TENSOR_CORE_TYPES = {"float16": '"f16"', "bfloat16": '"bf16"'}
"""The names in PTX of the types that attention.cu takes."""


def text_of(*names: str) -> str:
    """Return the text of these files of this folder, one after the other."""
    return "\n".join((Path(__file__).parent / name).read_text(encoding="utf-8") for name in names)


def launch(name: str, grid: tuple[int, ...], threads: int, x: Array, *arguments: Any) -> None:
    """Run the kernel `name` of rows.cu, compiled for the type of `x`, its first argument: `grid` blocks of `threads` threads.

    Array arguments are contiguous, unless the kernel takes their strides; None is a null pointer. Whole numbers are passed as
    64-bit numbers; fractions have to be NumPy's numbers of the type that the kernel takes. Raises `InputError` for arrays of
    another type than `x`.
    """
    types = f"-DNUMBER={TYPES[x.dtype.name]}", f"-DWIDE={TYPES[sum_dtype(x.dtype).name]}"
    _launch(("rows.cu",), types, name, grid, threads, x, *arguments)


def launch_attention(grid: tuple[int, ...], head_dim: int, q: Array, *arguments: Any) -> None:
    """Run attention.cu, compiled for `head_dim` and the type of `q`, its first argument; the others as in `launch`."""
    number, kind = TYPES[q.dtype.name], TENSOR_CORE_TYPES[q.dtype.name]
    options = f"-DNUMBER={number}", f"-DKIND={kind}", f"-DHEAD_DIM={head_dim}"
    _launch(("tensor_cores.cuh", "attention.cu"), options, "attention", grid, 128, q, *arguments)


def with_whole_rows(x: Array) -> Array:
    """Return `x`, or a copy in which the numbers of the last axis lie side by side."""
    return x if x.strides[-1] == x.itemsize else array_module(x).ascontiguousarray(x)


def steps(x: Array) -> tuple[int, ...]:
    """Return how many numbers it is from one token, one head and one row of the batch to the next."""
    return tuple(step // x.itemsize for step in reversed(x.strides[:3]))


def _launch(
    files: tuple[str, ...], options: tuple[str, ...], name: str, grid: tuple[int, ...], threads: int, *arguments: Any
) -> None:
    expect_one_type(*(a for a in arguments if isinstance(a, type(arguments[0]))))
    kernel = _kernel(array_module(arguments[0]), files, options, name)
    kernel(grid, (threads,), tuple(0 if a is None else a for a in arguments))


@cache
def _kernel(cupy: ModuleType, files: tuple[str, ...], options: tuple[str, ...], name: str) -> Any:
    return _module(cupy, files, options).get_function(name)


@cache
def _module(cupy: ModuleType, files: tuple[str, ...], options: tuple[str, ...]) -> Any:
    return cupy.RawModule(code=text_of(*files), options=options)
