"""Elementwise formulas as one kernel on a GPU: one read of the inputs and one write of the result, however long the formula."""

from collections.abc import Callable
from functools import cache, wraps
from types import ModuleType
from typing import Any

import numpy as np

from ovis2_ref.runtime.arrays import array_module


def fused(formula: Callable[..., Any]) -> Callable[..., Any]:
    """`formula`, which on CuPy's arrays is compiled to one kernel (`cupy.fuse`); on NumPy's it is the function that it was.

    Its arguments are arrays, or numbers after the first array; CuPy shows it placeholders for both, without shapes. It consists
    of operators, elementwise functions and conversions, and sums nothing up: a fused sum of 16-bit numbers doesn't compile in
    CuPy 14. Nor does CuPy convert to bfloat16 inside: a formula rounds to 16 bits by writing to one of its arguments,
    `y[...] = ...` or `out=y`, in NumPy as well.
    """

    @wraps(formula)
    def call(*arguments: Any) -> Any:
        xp = array_module(arguments[0])
        return formula(*arguments) if xp is np else _kernel(xp, formula)(*arguments)

    return call


@cache
def _kernel(cupy: ModuleType, formula: Callable[..., Any]) -> Callable[..., Any]:
    return cupy.fuse(formula)
