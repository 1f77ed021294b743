"""The slopes of the activations: the derivative of each at x, element by element, in float32 or float64.

In 16 bits a slope is computed in float32 and rounded once, also for the activations that torch rounds after every operation.
"""

from math import pi, sqrt

import numpy as np

from ovis2_ref import activations as act
from ovis2_ref.activations import Activation
from ovis2_ref.runtime.arrays import Array


def linear_slope(x: Array) -> Array:
    """1."""
    return np.ones_like(x)


def relu_slope(x: Array) -> Array:
    """1 above 0, else 0."""
    return (x > 0).astype(x.dtype)


def relu2_slope(x: Array) -> Array:
    """2 max(x, 0)."""
    return 2 * act.relu(x)


def relu6_slope(x: Array) -> Array:
    """1 between 0 and 6, else 0."""
    return ((x > 0) & (x < 6)).astype(x.dtype)


def leaky_relu_slope(x: Array) -> Array:
    """1 above 0, 1 / 100 below."""
    return np.where(x > 0, x.dtype.type(1), x.dtype.type(0.01))


def selu_slope(x: Array) -> Array:
    """s above 0, s a exp(x) below."""
    scale, alpha = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
    return np.where(x > 0, x.dtype.type(scale), scale * alpha * np.exp(np.minimum(x, 0)))


def sigmoid_slope(x: Array) -> Array:
    """s (1 - s), s = sigmoid(x)."""
    s = act.sigmoid(x)
    return s * (1 - s)


def silu_slope(x: Array) -> Array:
    """s (1 + x (1 - s)), s = sigmoid(x)."""
    s = act.sigmoid(x)
    return s * (1 + x * (1 - s))


def tanh_slope(x: Array) -> Array:
    """1 - tanh(x)^2."""
    y = np.tanh(x)
    return 1 - y * y


def hardswish_slope(x: Array) -> Array:
    """0 below -3, 1 above 3, x / 3 + 1 / 2 between."""
    return np.where(x < -3, x.dtype.type(0), np.where(x <= 3, x / 3 + 0.5, x.dtype.type(1)))


def sqrtsoftplus_slope(x: Array) -> Array:
    """sigmoid(x) / (2 sqrt(log(1 + exp(x))))."""
    return act.sigmoid(x) / (2 * act.sqrtsoftplus(x))


def mish_slope(x: Array) -> Array:
    """t + x (1 - t^2) sigmoid(x), t = tanh(log(1 + exp(x)))."""
    t = np.tanh(np.log1p(np.exp(np.minimum(x, 20))))  # 1 above 20
    return t + x * (1 - t * t) * act.sigmoid(x)


def normal_density(x: Array) -> Array:
    """exp(-x^2 / 2) / sqrt(2 pi)."""
    return np.exp(-x * x / 2) * (1 / sqrt(2 * pi))


def gelu_slope(x: Array) -> Array:
    """Phi(x) + x phi(x): the normal distribution and its density."""
    return 0.5 * (1 + act.erf(x * sqrt(0.5))) + x * normal_density(x)


def gelu_10_slope(x: Array) -> Array:
    """The slope of gelu where it lies between -10 and 10, else 0."""
    return gelu_slope(x) * (act.gelu(x) <= 10)


def gelu_tanh_slope(x: Array) -> Array:
    """(1 + t) / 2 + x (1 - t^2) c (1 + 3 * 0.044715 x^2) / 2, t = tanh(c (x + 0.044715 x^3)), c = sqrt(2 / pi)."""
    c, square = sqrt(2 / pi), x * x
    t = np.tanh(c * x * (1 + 0.044715 * square))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c * (1 + 3 * 0.044715 * square)


def quick_gelu_slope(x: Array) -> Array:
    """s (1 + 1.702 x (1 - s)), s = sigmoid(1.702 x)."""
    s = act.sigmoid(1.702 * x)
    return s * (1 + 1.702 * x * (1 - s))


def laplace_slope(x: Array) -> Array:
    """phi((x - mu) / sigma) / sigma with mu = 0.707107, sigma = 0.282095."""
    return normal_density((x - 0.707107) / 0.282095) / 0.282095


SLOPES: dict[Activation, Activation] = {
    act.gelu: gelu_slope, act.gelu_10: gelu_10_slope, act.gelu_fast: gelu_tanh_slope, act.gelu_new: gelu_tanh_slope,
    act.gelu_python: gelu_slope, act.gelu_pytorch_tanh: gelu_tanh_slope, act.hardswish: hardswish_slope,
    act.laplace: laplace_slope, act.leaky_relu: leaky_relu_slope, act.linear_activation: linear_slope, act.mish: mish_slope,
    act.quick_gelu: quick_gelu_slope, act.relu: relu_slope, act.relu2: relu2_slope, act.relu6: relu6_slope,
    act.selu: selu_slope, act.sigmoid: sigmoid_slope, act.silu: silu_slope, act.sqrtsoftplus: sqrtsoftplus_slope,
    act.tanh: tanh_slope,
}  # fmt: skip
"""Activation -> its slope."""
