"""Elementwise formulas as one kernel on a GPU: one read of the inputs and one write of the result, however long the formula."""

from collections.abc import Callable
from functools import cache, wraps
from types import ModuleType
from typing import Any

import numpy as np

from ovis2_ref.runtime.arrays import array_module


def fused(formula: Callable[..., Any]) -> Callable[..., Any]:
    """Return `formula`, compiled to one kernel for CuPy arrays (`cupy.fuse`); NumPy arrays call it unchanged.

    Its arguments are arrays, or numbers after the first array; CuPy calls it with placeholders for both, which have no shapes.
    The formula may use operators, elementwise functions and conversions, but no sums: CuPy 14 can't compile a fused sum of
    16-bit numbers. CuPy also can't convert to bfloat16 inside a kernel: to round to 16 bits, write to one of the arguments,
    `y[...] = ...` or `out=y`.
    """

    @wraps(formula)
    def call(*arguments: Any) -> Any:
        xp = array_module(arguments[0])
        return formula(*arguments) if xp is np else _kernel(xp, formula)(*arguments)

    return call


@cache
def _kernel(cupy: ModuleType, formula: Callable[..., Any]) -> Callable[..., Any]:
    return cupy.fuse(formula)
