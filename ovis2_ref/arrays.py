"""Where an array lives and what numbers are in it: the dispatch between NumPy and CuPy, and the compute types."""

import sys
from types import ModuleType
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np

from ovis2_ref.errors import DeviceError, InputError

Array: TypeAlias = Any
"""A `numpy.ndarray` or a `cupy.ndarray`. Shapes and kinds of numbers stand in signatures: `Float[Array, "batch hidden"]`."""

DTYPES = {
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}


def array_module(x: Array) -> ModuleType:
    """The module that computes on `x`: `cupy` for an array on a GPU, else `numpy`. CuPy is never imported for the question."""
    cupy = sys.modules.get("cupy")
    return np if cupy is None else cupy.get_array_module(x)


def as_dtype(dtype: str | np.dtype | type) -> np.dtype:
    """The compute type called `dtype`: float32, float64, float16 or bfloat16 (by name, NumPy type or NumPy dtype).

    Raises `InputError` for any other.
    """
    name = dtype if isinstance(dtype, str) else np.dtype(dtype).name
    if name not in DTYPES:
        raise InputError(f"dtype={dtype!r} is not a compute type; choose one of {', '.join(DTYPES)}")
    return DTYPES[name]


def is_half(dtype: np.dtype) -> bool:
    """True for float16 and bfloat16, whose sums are carried in float32."""
    return dtype.itemsize == 2


def sum_dtype(dtype: np.dtype) -> np.dtype:
    """The type in which sums over values of `dtype` are carried: float32 for the 16-bit types, else `dtype` itself."""
    return DTYPES["float32"] if is_half(dtype) else dtype


def device_module(device: str) -> ModuleType:
    """The array module for `device`: "cpu" is NumPy; "cuda" or "cuda:N" is CuPy, with GPU N made current; "auto" takes a GPU if
    one is there.

    Raises `InputError` for another name, `DeviceError` if a GPU is asked for and CuPy, the driver or the device is missing.
    """
    kind, _, index = device.partition(":")
    if kind == "auto":
        return device_module("cuda") if _missing(0) is None else np
    if kind == "cpu" and not index:
        return np
    if kind != "cuda" or (index and not index.isdecimal()):
        raise InputError(f'device={device!r} is not known; use "cpu", "cuda", "cuda:N" or "auto"')
    missing = _missing(int(index or 0))
    if missing is not None:
        raise DeviceError(f"device={device!r} can't be had: {missing}")
    import cupy

    cupy.cuda.Device(int(index or 0)).use()
    return cupy


def _missing(index: int) -> str | None:
    """What stands between us and GPU `index`, in words and with the remedy; None if nothing does."""
    try:
        import cupy
    except ImportError:
        return "CuPy is not installed: pip install 'ovis2_ref[cuda13]' (or [cuda12] for a driver of CUDA 12)"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"there is no usable NVIDIA driver or device ({error}): see that nvidia-smi works"
    return None if index < count else f"there are {count} GPUs, numbered from 0"
