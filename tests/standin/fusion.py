"""The stand-in's `cupy.fuse`: the function runs on placeholders that allow what both of CuPy 14's tracers allow.

A placeholder of an array or a number has a type, operators, elementwise functions, conversions and assignment to all of it; it
has no shape, no index, no methods. CuPy's tracers know no conversion to bfloat16. They do know sums, but with CUB a fused sum of
16-bit numbers does not compile (CuPy 14.2 defines `type_in0_raw` twice), so the stand-in refuses them.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from tests.standin.array import BFLOAT16, ndarray


class Placeholder:
    """What a fused function gets in place of an array."""

    def __init__(self, array: ndarray | float) -> None:
        self.array = array
        self.dtype = array.dtype if isinstance(array, ndarray) else np.dtype(type(array))

    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        raise TypeError("NumPy's function on a placeholder of cupy.fuse")

    def __bool__(self) -> bool:
        raise TypeError("Cannot convert to Python scalar in cupy.fuse")

    def __setitem__(self, key: Any, value: Any) -> None:
        if key is not Ellipsis:
            raise ValueError("The fusion supports `[...]` or `[:]`.")
        self.array[...] = value.array if isinstance(value, Placeholder) else value

    def astype(
        self, dtype: Any, order: None = None, casting: None = None, subok: None = None, copy: bool = True
    ) -> Any:
        if order is not None or casting is not None or subok is not None:
            raise TypeError("order, casting and subok are not supported yet")
        dtype = np.dtype(dtype)
        if not copy and dtype == self.dtype:
            return self
        if dtype == BFLOAT16:
            raise KeyError(dtype)
        return Placeholder(self.array.astype(dtype))


def on_arrays(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return `function` on the arrays of the placeholders among the arguments, and a placeholder for its result."""
    out = kwargs.get("out")
    if any(isinstance(a, ndarray) for a in args):
        raise TypeError("Concrete ndarray is not supported in fusion.")
    unwrapped = [a.array if isinstance(a, Placeholder) else a for a in args]
    if out is not None:
        function(*unwrapped, **{**kwargs, "out": out.array})
        return out
    return Placeholder(function(*unwrapped, **kwargs))


def fuse(function: Callable[..., Any]) -> Callable[..., Any]:
    """`cupy.fuse`, as a decorator without arguments."""

    @wraps(function)
    def call(*args: Any) -> Any:
        if any(isinstance(a, Placeholder) for a in args) or not any(isinstance(a, ndarray) for a in args):
            return function(*args)
        for a in args:
            if not isinstance(a, (ndarray, int, float, type(None))):
                raise TypeError(f"Invalid argument type for '{function.__name__}': {type(a)}")
        result = function(*(None if a is None else Placeholder(a) for a in args))
        if result is None:
            return None
        if not isinstance(result, Placeholder):
            raise TypeError(f"Fusion function can't return {type(result)}")
        return result.array

    return call
