"""Accept and return torch tensors. This file never imports torch: a tensor exists only where the caller has imported it."""

import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from functools import cache, wraps
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np

from ovis2_ref.errors import InputError
from ovis2_ref.runtime.arrays import array_module, to_host

CALLBACKS = {"logits_processor", "stopping_criteria", "prefix_allowed_tokens_fn", "streamer"}
"""Arguments that are the caller's functions, or call them."""


def torch_module() -> ModuleType | None:
    """Return torch if the caller has imported it, else None."""
    torch = sys.modules.get("torch")
    return torch if hasattr(torch, "Tensor") else None


def is_tensor(x: Any) -> bool:
    """Return True for a torch tensor."""
    torch = torch_module()
    return torch is not None and isinstance(x, torch.Tensor)


def to_array(x: Any) -> Any:
    """Return a torch tensor of any type and device as a NumPy array (bfloat16 through `ml_dtypes`); anything else unchanged."""
    torch = torch_module()
    if torch is None or not isinstance(x, torch.Tensor):
        return x
    x = x.detach().cpu().resolve_conj().resolve_neg()
    if x.dtype == torch.bfloat16:
        return x.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return x.numpy()


def to_tensor(x: Any, device: Any = None) -> Any:
    """Return a NumPy or CuPy array as a torch tensor on `device`; anything else unchanged. Memory is shared where possible."""
    torch = torch_module()
    if torch is None or not is_array(x):
        return x
    x = np.asarray(to_host(x))
    if not x.flags.writeable or not x.flags.c_contiguous:
        x = x.copy()
    if x.dtype == ml_dtypes.bfloat16:
        tensor = torch.from_numpy(x.view(np.int16)).view(torch.bfloat16)
    else:
        tensor = torch.from_numpy(x)
    return tensor if device is None else tensor.to(device)


def is_array(x: Any) -> bool:
    """Return True for a NumPy or a CuPy array, or one of NumPy's numbers."""
    return isinstance(x, np.ndarray | np.generic) or array_module(x) is not np


def script_array(x: Any) -> Any:
    """Return an array as the caller's programs know it: a tensor that shares its memory if the caller has imported torch."""
    return x if torch_module() is None else to_tensor(x)


def with_tensors(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a `function` of arrays to accept torch tensors: if an argument holds one, arrays in the result become tensors on
    its device. Functions and streamers among the arguments then receive tensors, and may return them.
    """

    @wraps(function)
    def call(*arguments: Any, **options: Any) -> Any:
        device = _device((arguments, options))
        if device is None:
            return function(*arguments, **options)
        callbacks = {name: _callback(options.pop(name), device) for name in CALLBACKS & set(options)}
        arguments, options = _inwards((arguments, options))
        return _outwards(function(*arguments, **options, **callbacks), device)

    return call


def has_tensors(value: Any) -> bool:
    """Return True if `value`, or a tuple, list or dictionary in it, holds a torch tensor."""
    return _device(value) is not None


def _device(value: Any) -> Any:
    """Return the device of the first tensor in a value or its tuples, lists and dictionaries; None without a tensor."""
    torch = torch_module()
    if torch is None:
        return None
    if isinstance(value, torch.Tensor):
        return value.device
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return next((device for part in parts if (device := _device(part)) is not None), None)


def _inwards(value: Any) -> Any:
    """Return `value` with arrays for tensors."""
    if type(value) is dict:
        return {key: _inwards(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        parts = [_inwards(part) for part in value]
        return tuple(parts) if isinstance(value, tuple) else parts
    return to_array(value)


def _outwards(value: Any, device: Any) -> Any:
    """Return `value` with tensors for arrays, in tuples, lists, dictionaries and records too."""
    if is_array(value):
        return to_tensor(value, device)
    if type(value) is dict:
        return {key: _outwards(part, device) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_outwards(part, device) for part in value)
    if is_dataclass(value) and not isinstance(value, type):
        parts = {f.name: _outwards(getattr(value, f.name), device) for f in fields(value)}
        if parts.get("loss") is not None:
            parts["loss"] = parts["loss"].as_subclass(_loss_class())
        return replace(value, **parts)
    return value


@cache
def _loss_class() -> type:
    """Return the class of a loss among tensors: a tensor that says how to get its gradients."""
    torch: Any = torch_module()

    class Loss(torch.Tensor):
        def backward(self, *_: Any, **__: Any) -> None:
            raise InputError(
                "this loss knows no way back: call model.loss_and_gradients(labels=..., **inputs), which returns the loss "
                "and its gradient by every weight"
            )

        def __format__(self, spec: str) -> str:
            return format(self.as_subclass(torch.Tensor), spec)

        def __repr__(self, **options: Any) -> str:
            return repr(self.as_subclass(torch.Tensor))

    return Loss


def _callback(value: Any, device: Any) -> Any:
    """Wrap the caller's functions of tensors as functions of arrays; wrap a streamer so that it receives tensors."""
    if isinstance(value, list | tuple):
        return [_callback(function, device) for function in value]
    if hasattr(value, "put"):
        return TensorStreamer(value, device)
    return (lambda *given: _inwards(value(*_outwards(given, device)))) if callable(value) else value


class TensorStreamer:
    """Passes tensors to the caller's streamer."""

    def __init__(self, streamer: Any, device: Any) -> None:
        """Pass tokens to `streamer` as tensors on `device`."""
        self._streamer, self._device = streamer, device

    def put(self, ids: np.ndarray) -> None:
        """Pass tokens on."""
        self._streamer.put(to_tensor(ids, self._device))

    def end(self) -> None:
        """Pass the end on."""
        self._streamer.end()
