"""Translate what scripts call a device and a type: "cuda", torch.bfloat16, device_map="auto"."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

from ovis2_ref.compat.tensors import torch_module
from ovis2_ref.errors import InputError
from ovis2_ref.files.checks import shown
from ovis2_ref.runtime.arrays import DTYPES, as_dtype


class Device(str):
    """The name of a device, "cpu" or "cuda:0", which torch takes for its own, with a torch device's `type` and `index`."""

    @property
    def type(self) -> str:
        """Return "cpu" or "cuda"."""
        return self.partition(":")[0]

    @property
    def index(self) -> int | None:  # type: ignore[override]
        """The GPU's number, None for the CPU."""
        return int(self.partition(":")[2]) if ":" in self else None


def device_of(xp: ModuleType, array: Any) -> Device:
    """Return the device of `array`, which is one of `xp`."""
    return Device("cpu" if xp is np else f"cuda:{array.device.id}")


def device_name(device: Any) -> str:
    """Return the name of a device, given as a torch device, a name, a GPU's number or a `device_map`.

    A `device_map` is a device, "auto" (a GPU if there is one), or a dictionary that puts everything on one device.
    """
    if isinstance(device, Mapping):
        places = {device_name(place) for place in device.values()}
        if len(places) != 1:
            raise InputError(f"device_map={shown(device)}: one process computes on one device; give one for all parts")
        return places.pop()
    if isinstance(device, int) and not isinstance(device, bool):
        return f"cuda:{device}"
    if not (isinstance(device, str) or type(device).__name__ == "device"):
        raise InputError(f"device={shown(device)} should be a device's name, a GPU's number or a torch device")
    return "auto" if device in ("balanced", "balanced_low_0", "sequential") else str(device)


def compute_dtype(dtype: Any, stored: Any = None) -> np.dtype:
    """Return the compute type of `dtype`: a torch type, a NumPy type, a name, or "auto" for the `stored` type."""
    if isinstance(dtype, str) and dtype == "auto":
        dtype = stored or "float32"
    torch = torch_module()
    if torch is not None and isinstance(dtype, torch.dtype):
        dtype = str(dtype)
    if isinstance(dtype, str):
        dtype = dtype.removeprefix("torch.")
        dtype = {"half": "float16", "float": "float32", "double": "float64"}.get(dtype, dtype)
    try:
        return as_dtype(dtype)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"dtype={shown(dtype)} is not a compute type; choose one of {', '.join(DTYPES)}, or auto"
        ) from error


def script_dtype(dtype: np.dtype) -> Any:
    """Return `dtype` as the caller's programs know it: torch's where the caller has imported torch, else NumPy's."""
    torch = torch_module()
    return dtype if torch is None else getattr(torch, dtype.name)
