"""Elementwise functions as expressions: the text has operators and NumPy's functions; here is what 16-bit types and GPUs add.

torch computes one of its functions on 16-bit numbers in float32 and rounds once (`@torch_function`); where transformers writes an
expression, it rounds after every operation (`@written_out`).
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import ml_dtypes
import numpy as np

from ovis2_ref.runtime.arrays import Array, array_module, is_half, rounded, widened

Function = Callable[[Array], Array]
"""Of an array of any shape, element by element; 16-bit numbers come back as float32, to be rounded."""


class Elementwise(np.lib.mixins.NDArrayOperatorsMixin):
    """Numbers in float32 or float64, rounded to the 16-bit `dtype` after each operation if there is one.

    NumPy's functions of it are those of the module that its numbers belong to: NumPy, CuPy, or a kernel that CuPy is fusing.
    """

    def __init__(self, numbers: Any, dtype: np.dtype | None = None) -> None:
        self.numbers, self.dtype = numbers, dtype

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> "Elementwise":
        function = getattr(array_module(self.numbers), ufunc.__name__)
        # torch rounds a number that is added, not one that is multiplied by.
        added = self.dtype is not None and ufunc in (np.add, np.subtract)
        numbers = [
            x.numbers if isinstance(x, Elementwise) else float(self.dtype.type(x)) if added else x  # type: ignore[union-attr]
            for x in inputs
        ]
        return self.rounded(function(*numbers))

    def rounded(self, numbers: Any) -> "Elementwise":
        """Return `numbers`, rounded as these are."""
        if self.dtype is not None:
            numbers = rounded(numbers, self.dtype).astype(numbers.dtype)
        return Elementwise(numbers, self.dtype)


def torch_function(expression: Function) -> Function:
    """Decorate the expression of one torch function: 16-bit numbers are computed in float32, and the caller rounds them once."""

    @wraps(expression)
    def call(x: Any) -> Any:
        if isinstance(x, Elementwise):
            return x.rounded(call(x.numbers))
        wide = widened(x)
        return expression(wide) if array_module(x) is np else expression(Elementwise(wide)).numbers

    return call


def written_out(expression: Function) -> Function:
    """Decorate an expression that torch computes operation by operation: 16-bit numbers are rounded after each."""
    at_once = torch_function(expression)

    @wraps(expression)
    def call(x: Any) -> Any:
        if not is_half(x.dtype):
            return at_once(x)
        return expression(Elementwise(widened(x), x.dtype)).numbers

    call.written_out = True  # type: ignore[attr-defined]
    return call


def cube(x: Any) -> Any:
    """x^3. On a CPU torch.pow(x, 3) rounds x x in bfloat16, and not in float16."""
    if isinstance(x, Elementwise) and x.dtype != ml_dtypes.bfloat16:
        return x.rounded(x.numbers * x.numbers * x.numbers)
    return x * x * x


def softplus(x: Any) -> Any:
    """log(1 + exp(x)); x itself above 20, as in torch."""
    if isinstance(x, Elementwise):
        return x.rounded(softplus(x.numbers))
    xp = array_module(x)
    return xp.where(x > 20, x, xp.log1p(xp.exp(xp.minimum(x, 20))))


# erf(x) = x P(x^2) / Q(x^2) below 0.46875, and 1 - exp(-x^2) C(x) / D(x) above, highest power first.
_P = (1.85777706184603153e-1, 3.16112374387056560, 1.13864154151050156e2, 3.77485237685302021e2, 3.20937758913846947e3)
_Q = (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3)
_C = (
    2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1, 2.98635138197400131e2,
    8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3,
)  # fmt: skip
_D = (
    1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
    3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3,
)  # fmt: skip


def _polynomial(x: Array, coefficients: tuple[float, ...]) -> Array:
    """c_0 x^n + c_1 x^(n - 1) + ... + c_n (Horner's rule)."""
    y = x * coefficients[0] + coefficients[1]
    for coefficient in coefficients[2:]:
        y = y * x + coefficient
    return y


def erf(x: Any) -> Any:
    """2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x, the error function; `x` is float32 or float64.

    Rational approximations of W. J. Cody (1969, "Rational Chebyshev Approximations for the Error Function", tables II and III),
    within 2 units in the last place. Cody's third, for |x| > 4, isn't needed: there the second is off by less than half a unit.
    """
    if isinstance(x, Elementwise):
        return x.rounded(erf(x.numbers))
    xp = array_module(x)
    size = xp.minimum(xp.absolute(x), 6)  # erf(6) is 1 in both types
    square = xp.minimum(size, 0.5) ** 2
    inner = x * _polynomial(square, _P) / _polynomial(square, _Q)
    # exp(-x^2) as exp(-s^2) exp(-(x - s)(x + s)), s of few digits: the square of s is exact, and the rest is small.
    short = xp.floor(size * 16) / 16
    tail = xp.exp(-short * short) * xp.exp((short - size) * (short + size))
    outer = 1 - tail * _polynomial(size, _C) / _polynomial(size, _D)
    return xp.where(size <= 0.46875, inner, xp.copysign(outer, x))
