"""The activation functions that a configuration can name, as transformers 5.24's `ACT2FN` defines them and torch computes them.

Those with learnable parameters (prelu, xielu) are left out: no Ovis2 checkpoint stores such parameters.

In float16 and bfloat16 an activation that is one torch function is computed in float32, and the caller rounds the result once.
One that transformers writes as an expression (`@written_out`) is rounded by torch after every operation: here `_rounded` marks
each such place but the end.
"""

from collections.abc import Callable
from math import pi, sqrt

import ml_dtypes
import numpy as np

from ovis2_ref.runtime.arrays import Array, array_module, is_half, rounded, widened

Activation = Callable[[Array], Array]
"""Of an array of any shape, element by element; 16-bit numbers come back as float32, to be rounded."""


def written_out(activation: Activation) -> Activation:
    """Mark an activation that is rounded on the way in 16 bits."""
    activation.written_out = True  # type: ignore[attr-defined]
    return activation


def _rounded(y: Array, dtype: np.dtype) -> Array:
    """Round the values of `y` to a 16-bit `dtype`, and keep the type of `y`; return `y` for other types."""
    return rounded(y, dtype).astype(y.dtype) if is_half(dtype) else y


def linear_activation(x: Array) -> Array:
    """x."""
    return widened(x)


def relu(x: Array) -> Array:
    """max(x, 0)."""
    return array_module(x).maximum(widened(x), 0)


def relu2(x: Array) -> Array:
    """max(x, 0)^2 (So et al., 2021)."""
    y = relu(x)
    return y * y


def relu6(x: Array) -> Array:
    """min(max(x, 0), 6)."""
    return array_module(x).minimum(relu(x), 6)


def leaky_relu(x: Array) -> Array:
    """x above 0, x / 100 below."""
    wide = widened(x)
    return array_module(x).where(wide > 0, wide, wide * 0.01)


def selu(x: Array) -> Array:
    """s x above 0, s a (exp(x) - 1) below, with a mean of 0 and a variance of 1 as fixed point (Klambauer et al., 2017, eq. 2).

    transformers' documentation names it, `ACT2FN` doesn't have it: the reference is torch.nn.functional.selu.
    """
    xp = array_module(x)
    wide = widened(x)
    scale, alpha = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
    below = scale * alpha * xp.expm1(xp.minimum(wide, 0))
    return xp.where(wide > 0, scale * wide, below)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    with np.errstate(over="ignore"):  # exp(-x) = inf gives the right limit, 0
        return 1 / (1 + array_module(x).exp(-widened(x)))


def silu(x: Array) -> Array:
    """x / (1 + exp(-x)), the sigmoid linear unit (Elfwing et al., 2017), also called swish."""
    wide = widened(x)
    with np.errstate(over="ignore"):  # exp(-x) = inf gives the right limit, 0
        return wide / (1 + array_module(x).exp(-wide))


def tanh(x: Array) -> Array:
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x)), the hyperbolic tangent."""
    return array_module(x).tanh(widened(x))


def hardswish(x: Array) -> Array:
    """x min(max(x + 3, 0), 6) / 6 (Howard et al., 2019)."""
    wide = widened(x)
    return wide * relu6(wide + 3) / 6


def _softplus(wide: Array) -> Array:
    """log(1 + exp(x)); x itself above 20, as in torch."""
    xp = array_module(wide)
    return xp.where(wide > 20, wide, xp.log1p(xp.exp(xp.minimum(wide, 20))))


@written_out
def sqrtsoftplus(x: Array) -> Array:
    """sqrt(log(1 + exp(x)))."""
    return array_module(x).sqrt(_rounded(_softplus(widened(x)), x.dtype))


def mish(x: Array) -> Array:
    """x tanh(log(1 + exp(x))) (Misra, 2019)."""
    wide = widened(x)
    return wide * array_module(x).tanh(_softplus(wide))


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


def erf(x: Array) -> Array:
    """2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x, the error function; `x` is float32 or float64.

    Rational approximations of W. J. Cody (1969, "Rational Chebyshev Approximations for the Error Function", tables II and III),
    within 2 units in the last place. Cody's third, for |x| > 4, isn't needed: there the second is off by less than half a unit.
    """
    xp = array_module(x)
    size = xp.minimum(xp.absolute(x), 6)  # erf(6) is 1 in both types
    square = xp.minimum(size, 0.5) ** 2
    inner = x * _polynomial(square, _P) / _polynomial(square, _Q)
    # exp(-x^2) as exp(-s^2) exp(-(x - s)(x + s)), s of few digits: the square of s is exact, and the rest is small.
    short = xp.floor(size * 16) / 16
    tail = xp.exp(-short * short) * xp.exp((short - size) * (short + size))
    outer = 1 - tail * _polynomial(size, _C) / _polynomial(size, _D)
    return xp.where(size <= 0.46875, inner, xp.copysign(outer, x))


def gelu(x: Array) -> Array:
    """x Phi(x) = x (1 + erf(x / sqrt(2))) / 2, Phi the normal distribution (Hendrycks and Gimpel, 2016)."""
    wide = widened(x)
    return wide * 0.5 * (1 + erf(wide * sqrt(0.5)))


@written_out
def gelu_python(x: Array) -> Array:
    """x (1 + erf(x / sqrt(2))) / 2, written out."""
    wide = widened(x)
    phi = _rounded(1 + _rounded(erf(_rounded(wide / sqrt(2), x.dtype)), x.dtype), x.dtype)
    return _rounded(wide * 0.5, x.dtype) * phi


def gelu_10(x: Array) -> Array:
    """gelu(x), clipped to -10 .. 10."""
    return array_module(x).clip(gelu(x), -10, 10)


def gelu_pytorch_tanh(x: Array) -> Array:
    """x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 (Hendrycks and Gimpel, 2016)."""
    wide = widened(x)
    inner = sqrt(2 / pi) * (wide + 0.044715 * (wide * wide * wide))
    return 0.5 * wide * (1 + array_module(x).tanh(inner))


@written_out
def gelu_new(x: Array) -> Array:
    """The formula of `gelu_pytorch_tanh`, written out."""
    wide = widened(x)
    square = wide * wide
    if x.dtype == ml_dtypes.bfloat16:  # torch.pow(x, 3) on a CPU rounds x * x in bfloat16, and not in float16
        square = _rounded(square, x.dtype)
    cubic = _rounded(0.044715 * _rounded(square * wide, x.dtype), x.dtype)
    inner = _rounded(sqrt(2 / pi) * _rounded(wide + cubic, x.dtype), x.dtype)
    return _half_times_one_plus_tanh(wide, inner, x.dtype)


@written_out
def gelu_fast(x: Array) -> Array:
    """x (1 + tanh(0.7978845608 x (1 + 0.044715 x^2))) / 2, written out."""
    wide = widened(x)
    square = _rounded(_rounded(0.044715 * wide, x.dtype) * wide, x.dtype)
    inner = _rounded(_rounded(wide * 0.7978845608, x.dtype) * _rounded(1 + square, x.dtype), x.dtype)
    return _half_times_one_plus_tanh(wide, inner, x.dtype)


def _half_times_one_plus_tanh(wide: Array, inner: Array, dtype: np.dtype) -> Array:
    """x / 2 * (1 + tanh(inner)), rounded to `dtype` after each operation."""
    factor = _rounded(1 + _rounded(array_module(wide).tanh(inner), dtype), dtype)
    return _rounded(0.5 * wide, dtype) * factor


@written_out
def quick_gelu(x: Array) -> Array:
    """x / (1 + exp(-1.702 x)) (Hendrycks and Gimpel, 2016)."""
    wide = widened(x)
    return wide * _rounded(sigmoid(_rounded(1.702 * wide, x.dtype)), x.dtype)


@written_out
def laplace(x: Array) -> Array:
    """(1 + erf((x - mu) / (sigma sqrt(2)))) / 2 with mu = 0.707107, sigma = 0.282095 (Ma et al., 2022, eq. 17)."""
    mu = float(x.dtype.type(0.707107))  # torch rounds a number that is added, not one that is multiplied by
    scaled = _rounded(_rounded(widened(x) - mu, x.dtype) / (0.282095 * sqrt(2)), x.dtype)
    return 0.5 * _rounded(1 + _rounded(erf(scaled), x.dtype), x.dtype)


ACTIVATIONS: dict[str, Activation] = {
    "gelu": gelu, "gelu_10": gelu_10, "gelu_accurate": gelu_new, "gelu_fast": gelu_fast, "gelu_new": gelu_new,
    "gelu_python": gelu_python, "gelu_python_tanh": gelu_new, "gelu_pytorch_tanh": gelu_pytorch_tanh,
    "hardswish": hardswish, "laplace": laplace, "leaky_relu": leaky_relu, "linear": linear_activation, "mish": mish,
    "quick_gelu": quick_gelu, "relu": relu, "relu2": relu2, "relu6": relu6, "selu": selu, "sigmoid": sigmoid, "silu": silu,
    "sqrtsoftplus": sqrtsoftplus, "swish": silu, "tanh": tanh,
}  # fmt: skip
"""`hidden_act` of a configuration -> the function."""
