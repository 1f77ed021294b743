"""A stand-in for CuPy, on NumPy: what runs on it uses only what CuPy has, with arguments that CuPy takes, and never mixes
device arrays with host arrays.

    with standin_cupy() as cupy:            # sys.modules["cupy"] is the stand-in inside the block
        x = cupy.asarray(host)

It is stricter than CuPy where CuPy forgives: NumPy's functions on device arrays, NumPy arrays as indices, and assignments whose
result is undefined on a GPU raise. All its streams are one. It knows nothing of speed, memory, or the GPU's own rounding.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np

from tests.standin import table
from tests.standin.array import TABLE, Crossing, Device, checked_call, crossed, crossings, ndarray, unwrap
from tests.standin.blas import TYPES, Library, create, cublas
from tests.standin.fusion import Placeholder, fuse, on_arrays
from tests.standin.graph import streams
from tests.standin.raw import RawModule
from tests.standin.ufuncs import UFUNCS, Ufunc, matmul

__all__ = ["Crossing", "crossings", "ndarray", "standin_cupy"]

FROM_HOST = {"asarray", "array", "ascontiguousarray", "asfortranarray", "asanyarray"}
ABSENT = {"random", "fft", "linalg"}
"""Parts of CuPy that the stand-in doesn't have: nothing here uses them, and each would need its own table."""


class CUDARuntimeError(RuntimeError):
    """CuPy's error of that name."""


@contextmanager
def standin_cupy(**machine: Any) -> Iterator[ModuleType]:
    """The stand-in, importable as `cupy` inside the block. `machine` says what GPU host it plays: see `cuda`."""
    before = sys.modules.get("cupy")
    module = make_cupy(**machine)
    sys.modules["cupy"] = module
    try:
        with patch("ovis2_ref.runtime.gpu.cublas._library", Library):
            yield module
    finally:
        if before is None:
            del sys.modules["cupy"]
        else:
            sys.modules["cupy"] = before


def make_cupy(**machine: Any) -> ModuleType:
    """Return a module with the public names of CuPy that NumPy shares, in their CuPy shape."""
    module = ModuleType("cupy")
    module.__version__ = f"{TABLE['cupy']}+standin"  # type: ignore[attr-defined]
    for name in TABLE["constants"]:
        if hasattr(np, name):
            setattr(module, name, getattr(np, name))
    for name, text in TABLE["functions"].items():
        function = getattr(np, name, None)
        if callable(function):
            setattr(module, name, _from_host(name, text) if name in FROM_HOST else _function(name, text))
    for name, ufunc in UFUNCS.items():
        setattr(module, name, ufunc)
    special = {
        "ndarray": ndarray, "ufunc": Ufunc, "matmul": matmul, "where": where, "nonzero": lambda a: a.nonzero(),
        "asnumpy": asnumpy, "get_array_module": lambda *args: get_array_module(module, *args), "cuda": cuda(**machine),
        "arange": arange, "put_along_axis": put_along_axis, "fuse": fuse, "clip": _fusible(module.clip),
        "RawModule": RawModule,
    }  # fmt: skip
    for name, value in special.items():
        setattr(module, name, value)
    return module


def _function(name: str, text: str) -> Any:
    signature, function = table.signature(text), getattr(np, name)
    return lambda *args, **kwargs: checked_call(name, signature, function, args, kwargs)


def _fusible(function: Any) -> Any:
    """Return a function that `cupy.fuse` knows, too."""

    def call(a: Any, *args: Any, **kwargs: Any) -> Any:
        return on_arrays(function, a, *args, **kwargs) if isinstance(a, Placeholder) else function(a, *args, **kwargs)

    return call


def _from_host(name: str, text: str) -> Any:
    """Return one of the functions that take a host array, and copy it to the device."""
    signature = table.signature(text)

    def convert(a: Any, *args: Any, **kwargs: Any) -> ndarray:
        signature.bind(a, *args, **kwargs)
        kwargs.pop("blocking", None)
        if not isinstance(a, ndarray):
            host = np.array(unwrap(a) if isinstance(a, (list, tuple)) else a)
            crossed("device", name, host)
            a = ndarray(host)
        return ndarray(getattr(np, name)(a._host, *args, **kwargs))

    return convert


def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    """`cupy.where`: the condition is a device array; x and y decide the type by CuPy's loops, which lack bfloat16."""
    if isinstance(condition, Placeholder):
        return UFUNCS["where"](condition, x, y)
    if not isinstance(condition, ndarray):
        raise AttributeError(f"{type(condition)} has no attribute 'astype': cupy.where takes a device array")
    if x is None and y is None:
        return condition.nonzero()
    return UFUNCS["where"](condition.astype(bool, copy=False), x, y)


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> ndarray:
    """`cupy.arange`, of host numbers."""
    if any(isinstance(x, (ndarray, np.ndarray)) for x in (start, stop, step)):
        raise TypeError("cupy.arange takes host numbers: give it ints")
    return ndarray(np.arange(0, start, step, dtype) if stop is None else np.arange(start, stop, step, dtype))


def put_along_axis(arr: ndarray, indices: ndarray, values: Any, axis: int | None) -> None:
    """`cupy.put_along_axis`."""
    np.put_along_axis(unwrap(arr), unwrap(indices), unwrap(values), axis)


def asnumpy(a: Any, stream: Any = None, order: str = "C", out: Any = None, *, blocking: bool = True) -> np.ndarray:
    """`cupy.asnumpy`."""
    return a.get(stream, order, out, blocking) if isinstance(a, ndarray) else np.asarray(a)


def get_array_module(module: ModuleType, *args: Any) -> ModuleType:
    """Return the stand-in if a device array is among the arguments, else NumPy."""
    return module if any(isinstance(a, (ndarray, Placeholder)) for a in args) else np


def cuda(driver: int = 13020, runtime: int = 13020, devices: int = 1, libraries: bool = True) -> SimpleNamespace:
    """Return `cupy.cuda` of a machine: its driver's CUDA version (0: no driver), CuPy's own, how many GPUs, CUDA's libraries."""

    def device_count() -> int:
        if driver < runtime // 1000 * 1000:
            raise CUDARuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")
        if devices == 0:
            raise CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
        return devices

    def nvrtc_version() -> tuple[int, int]:
        if not libraries:
            raise RuntimeError('Failure finding "libnvrtc.so.13": No such file: libnvrtc.so.13\n')
        return runtime // 1000, runtime % 1000 // 10

    def new_handle() -> int:
        if not libraries:
            raise ImportError("libcublas.so.13: cannot open shared object file: No such file or directory\n")
        return create()

    Device.current = 0
    return SimpleNamespace(
        Device=Device,
        cublas=cublas(new_handle),
        **streams(),
        nvrtc=SimpleNamespace(getVersion=nvrtc_version),
        runtime=SimpleNamespace(
            driverGetVersion=lambda: driver,
            runtimeGetVersion=lambda: runtime,
            getDeviceCount=device_count,
            CUDARuntimeError=CUDARuntimeError,
            **TYPES,
        ),
    )
