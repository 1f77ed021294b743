"""Array modules and compute types: choose NumPy or CuPy, move arrays between host and device, convert their numbers."""

import sys
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np

from ovis2_ref.errors import DeviceError, InputError

Array: TypeAlias = Any
"""A `numpy.ndarray` or a `cupy.ndarray`. Signatures give shapes and kinds of numbers: `Float[Array, "batch hidden"]`."""

DTYPES = {
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}


def array_module(x: Array) -> ModuleType:
    """Return the module that computes on `x`: `cupy` for an array on a GPU, else `numpy`. Does not import CuPy."""
    cupy = sys.modules.get("cupy")
    return np if cupy is None else cupy.get_array_module(getattr(x, "value", x))  # a recorded array has a value


def as_dtype(dtype: str | np.dtype | type) -> np.dtype:
    """Return the compute type called `dtype`: float32, float64, float16 or bfloat16 (by name, NumPy type or NumPy dtype).

    Raises `InputError` for any other.
    """
    name = dtype if isinstance(dtype, str) else np.dtype(dtype).name
    if name not in DTYPES:
        raise InputError(f"dtype={dtype!r} is not a compute type; choose one of {', '.join(DTYPES)}")
    return DTYPES[name]


def is_half(dtype: np.dtype) -> bool:
    """Return True for float16 and bfloat16, whose sums are carried in float32."""
    return dtype.itemsize == 2


def sum_dtype(dtype: np.dtype) -> np.dtype:
    """Return the type in which sums over values of `dtype` are carried: float32 for the 16-bit types, else `dtype` itself."""
    return DTYPES["float32"] if is_half(dtype) else dtype


def expect_one_type(x: Array, *others: Array) -> None:
    """Raise `InputError` for an array of another type than `x`: a GPU's kernel would read its bytes as numbers of that type."""
    for other in others:
        if other.dtype != x.dtype:
            raise InputError(
                f"arrays of {x.dtype} and {other.dtype} come together on a GPU; give the model's weights and cache one type"
            )


def widened(x: Array) -> Array:
    """Return `x` in the type of its sums: a float32 copy of 16-bit values, others as they are."""
    return x.astype(sum_dtype(x.dtype), copy=False)


def rounded(x: Array, dtype: np.dtype) -> Array:
    """Return `x` rounded to `dtype`; `x` itself if it has that type. What float16 can't hold becomes infinity, as in torch."""
    if x.dtype == dtype:
        return x
    with np.errstate(over="ignore"):
        return x.astype(dtype)


def to_device(x: Any, xp: ModuleType) -> Array:
    """Return `x` (an array of either module, a nested list, a CPU tensor) as an array of `xp`, without a copy where possible.

    With `to_host`, one of the two places where data crosses between host and device.
    """
    return to_host(x) if xp is np else xp.asarray(x)


def to_host(x: Any) -> np.ndarray:
    """Return `x` as a NumPy array: a device array is copied once the device has computed it, a host array is not copied."""
    return np.asarray(x) if array_module(x) is np else x.get()


def device_module(device: str) -> ModuleType:
    """Return the array module for `device`: "cpu" is NumPy; "cuda" or "cuda:N" is CuPy, and GPU N becomes the calling thread's
    current one (new arrays live there); "auto" takes GPU 0 if it works, else NumPy.

    Raises `InputError` for another name, `DeviceError` if a GPU is asked for and CuPy, the driver, the device or CUDA's
    libraries are missing: the message says which, and how to install it.
    """
    kind, _, index = device.partition(":")
    if device == "auto":
        return device_module("cuda") if _missing(0) is None else np
    if device == "cpu":
        return np
    if kind != "cuda" or (device != "cuda" and not (index.isascii() and index.isdecimal() and len(index) < 5)):
        raise InputError(f'device={device!r} is not known; use "cpu", "cuda", "cuda:N" or "auto"')
    missing = _missing(int(index or 0))
    if missing is not None:
        raise DeviceError(f"device={device!r} is not available: {missing}")
    import cupy

    cupy.cuda.Device(int(index or 0)).use()
    return cupy


def _missing(index: int) -> str | None:
    """Return a line that says what GPU `index` lacks to compute, and how to install it; None if it lacks nothing."""
    try:
        import cupy
    except ImportError as error:
        extra = "pip install -e '.[cuda13]' in the clone of ovis2_ref (or [cuda12] where the driver is for CUDA 12)"
        return f"CuPy is not installed, or broken ({_first_line(error)}): {extra}"
    runtime = cupy.cuda.runtime
    driver, built = runtime.driverGetVersion() // 1000, runtime.runtimeGetVersion() // 1000
    if driver == 0:
        return (
            "there is no NVIDIA driver, and pip can't install one: install it, and check that nvidia-smi lists the GPU"
        )
    if driver < built:
        extra = f"pip uninstall -y cupy-cuda{built}x && pip install -e '.[cuda{driver}]'"
        return f"the driver is for CUDA {driver}, this CuPy for CUDA {built}: {extra}, or a newer driver"
    try:
        count = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        return f"the driver shows no GPU ({_first_line(error)}): see nvidia-smi, and CUDA_VISIBLE_DEVICES"
    if index >= count:
        return f"there {'is 1 GPU' if count == 1 else f'are {count} GPUs'}, numbered from 0"
    try:  # the compiler, cuBLAS, and the headers that a kernel of a 16-bit type includes
        cupy.cuda.nvrtc.getVersion()
        cupy.cuda.cublas.create()
        with cupy.cuda.Device(index):
            cupy.zeros(1, dtype=np.float16) + cupy.ones(1, dtype=np.float16)
    except Exception as error:  # ImportError, RuntimeError, or the compiler's own, which is another class in each CuPy
        return f"CUDA's libraries are not installed ({_first_line(error)}): pip install -e '.[cuda{built}]'"
    return None


def device_of(x: Array) -> AbstractContextManager[Any]:
    """Return a context in which the GPU that `x` lies on is the calling thread's current one; nothing changes on a CPU."""
    return nullcontext() if array_module(x) is np else x.device


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
