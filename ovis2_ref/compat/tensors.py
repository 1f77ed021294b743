"""torch tensors in, tensors out, for a caller who uses torch. This file never imports torch: a tensor exists only where the
caller has imported it already.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from functools import wraps
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np

from ovis2_ref.runtime.arrays import array_module, to_host


def torch_module() -> ModuleType | None:
    """torch, if the caller has imported it; else None."""
    torch = sys.modules.get("torch")
    return torch if hasattr(torch, "Tensor") else None


def is_tensor(x: Any) -> bool:
    """True for a torch tensor."""
    torch = torch_module()
    return torch is not None and isinstance(x, torch.Tensor)


def to_array(x: Any) -> Any:
    """A torch tensor of any type and device as a NumPy array (bfloat16 through `ml_dtypes`); anything else unchanged."""
    torch = torch_module()
    if torch is None or not isinstance(x, torch.Tensor):
        return x
    x = x.detach().cpu().resolve_conj().resolve_neg()
    if x.dtype == torch.bfloat16:
        return x.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return x.numpy()


def to_tensor(x: Any, device: Any = None) -> Any:
    """A NumPy or CuPy array as a torch tensor on `device`; anything else unchanged. Memory is shared where it can be."""
    torch = torch_module()
    if torch is None or not is_array(x):
        return x
    x = to_host(x)
    if not x.flags.writeable or not x.flags.c_contiguous:
        x = x.copy()
    if x.dtype == ml_dtypes.bfloat16:
        tensor = torch.from_numpy(x.view(np.int16)).view(torch.bfloat16)
    else:
        tensor = torch.from_numpy(x)
    return tensor if device is None else tensor.to(device)


def is_array(x: Any) -> bool:
    """True for a NumPy or a CuPy array."""
    return isinstance(x, np.ndarray) or array_module(x) is not np


def with_tensors(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, which takes arrays, for torch tensors too: if there are any among its arguments, arrays in its result become
    tensors on their device. Functions and streamers among the arguments then are given tensors, and may return them.
    """

    @wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        given = next(_tensors((arguments, options)), None) if torch_module() is not None else None
        if given is None:
            return function(*arguments, **options)
        arguments, options = _inwards((arguments, options), given.device)
        return _outwards(function(*arguments, **options), given.device)

    return call


def _tensors(value: Any) -> Iterator[Any]:
    """The tensors in a value and in the tuples, lists and dictionaries that it consists of."""
    if is_tensor(value):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _inwards(value: Any, device: Any) -> Any:
    """`value` with arrays for tensors, and functions that speak arrays for those that speak tensors."""
    if is_tensor(value):
        return to_array(value)
    if type(value) is dict:
        return {key: _inwards(part, device) for key, part in value.items()}
    if isinstance(value, list | tuple):
        parts = [_inwards(part, device) for part in value]
        return tuple(parts) if isinstance(value, tuple) else parts
    if hasattr(value, "put") and hasattr(value, "end"):
        return _TensorStreamer(value, device)
    if (
        callable(value)
        and not isinstance(value, type)
        and not hasattr(value, "encode")
        and not hasattr(value, "generate")
    ):
        return lambda *given: _inwards(value(*_outwards(given, device)), device)
    return value


def _outwards(value: Any, device: Any) -> Any:
    """`value` with tensors for arrays, in tuples, lists and records too."""
    if is_array(value):
        return to_tensor(value, device)
    if isinstance(value, list | tuple):
        return type(value)(_outwards(part, device) for part in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: _outwards(getattr(value, f.name), device) for f in fields(value)})
    return value


class _TensorStreamer:
    """A streamer of the caller's, given tensors."""

    def __init__(self, streamer: Any, device: Any) -> None:
        self._streamer, self._device = streamer, device

    def put(self, ids: np.ndarray) -> None:
        self._streamer.put(to_tensor(ids, self._device))

    def end(self) -> None:
        self._streamer.end()
