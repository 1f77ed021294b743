"""What a processor returns: the model's inputs by name."""

from typing import Any, Self

import ml_dtypes
import numpy as np

from ovis2_ref.compat.devices import compute_dtype
from ovis2_ref.compat.tensors import is_array, is_tensor, to_array, to_tensor, torch_module
from ovis2_ref.errors import InputError
from ovis2_ref.files.checks import shown

RETURN_TENSORS = ("np", "pt", None)


def check_return_tensors(kind: Any) -> str | None:
    """Return `return_tensors` as "np", "pt" or None. Raises `InputError` for any other kind."""
    kind = getattr(kind, "value", kind)  # transformers' TensorType is an enumeration
    if not (kind is None or (isinstance(kind, str) and kind in RETURN_TENSORS)):
        raise InputError(f'return_tensors={shown(kind)} should be "np" (NumPy), "pt" (torch) or None (lists)')
    return kind


class BatchFeature(dict[str, Any]):
    """A dictionary for `model(**inputs)` whose entries are attributes too (transformers' `BatchFeature`)."""

    def __getattr__(self, name: str) -> Any:
        if hasattr(type(self), name):  # a property, in which another attribute was missing: let it say which
            return object.__getattribute__(self, name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"there is no {name!r} in these inputs; they hold {', '.join(self)}") from None

    skip_tensor_conversion = None

    @property
    def data(self) -> dict[str, Any]:
        """The entries as a plain dictionary."""
        return dict(self)

    def convert_to_tensors(self, tensor_type: Any = None, **_: Any) -> Self:
        """Change arrays and lists of numbers to `tensor_type`: "np", "pt" or None (unchanged). Return these inputs.

        "pt" gives tensors where the caller has imported torch, and NumPy arrays where not.
        """
        kind = check_return_tensors(tensor_type)
        for name, value in self.items():
            if kind is not None:
                self[name] = _converted(name, value, kind)
        return self

    def to(self, *arguments: Any, **options: Any) -> Self:
        """Move tensors to a device, and convert floating entries to a dtype, in any order: `to("cuda")`, `to(torch.bfloat16)`.

        Arrays stay on their device: the model moves them to its own. Return these inputs.
        """
        dtype = options.pop("dtype", None)
        device = options.pop("device", None)
        for argument in arguments:
            if _names_device(argument):
                device = argument
            elif argument is not None:
                dtype = argument
        for name, value in self.items():
            self[name] = _moved(value, device, dtype, options)
        return self


def _converted(name: str, value: Any, kind: str) -> Any:
    if isinstance(value, list) and value and any(isinstance(part, str) for part in value):
        return value
    try:
        array = value if is_array(value) or is_tensor(value) else np.asarray(value)
    except ValueError as error:
        raise InputError(f"{name} has rows of different lengths, and an array needs one: pass padding=True") from error
    if array is not value and array.size == 0:
        array = array.astype(np.int64)  # no tokens at all
    return to_tensor(array) if kind == "pt" else to_array(array)


def _names_device(argument: Any) -> bool:
    torch = torch_module()
    if torch is not None and isinstance(argument, torch.device):
        return True
    return isinstance(argument, int) or (
        isinstance(argument, str) and argument.split(":")[0] in ("cpu", "cuda", "auto")
    )


def _moved(value: Any, device: Any, dtype: Any, options: dict[str, Any]) -> Any:
    if is_tensor(value):
        cast = dtype if value.is_floating_point() else None
        return value.to(device=device, dtype=_torch_dtype(cast), **options)
    if is_array(value) and dtype is not None and (value.dtype.kind == "f" or value.dtype == ml_dtypes.bfloat16):
        return value.astype(compute_dtype(dtype))
    return value


def _torch_dtype(dtype: Any) -> Any:
    torch: Any = torch_module()
    return dtype if dtype is None or isinstance(dtype, torch.dtype) else getattr(torch, compute_dtype(dtype).name)
