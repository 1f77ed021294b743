"""The activation functions that a configuration can name, as transformers 5.24's `ACT2FN` defines them and torch computes them.

Those with learnable parameters (prelu, xielu) are left out: no Ovis2 checkpoint stores such parameters.

In float16 and bfloat16 an activation that is one torch function (`@torch_function`) is computed in float32, and the caller rounds
the result once. One that transformers writes as an expression (`@written_out`) is rounded by torch after every operation.
"""

from math import pi, sqrt

import numpy as np

from ovis2_ref.runtime.arrays import Array
from ovis2_ref.runtime.elementwise import Function, cube, erf, softplus, torch_function, written_out

Activation = Function


@torch_function
def linear_activation(x: Array) -> Array:
    """x."""
    return x


@torch_function
def relu(x: Array) -> Array:
    """max(x, 0)."""
    return np.maximum(x, 0)


@torch_function
def relu2(x: Array) -> Array:
    """max(x, 0)^2 (So et al., 2021)."""
    return np.maximum(x, 0) * np.maximum(x, 0)


@torch_function
def relu6(x: Array) -> Array:
    """min(max(x, 0), 6)."""
    return np.minimum(np.maximum(x, 0), 6)


@torch_function
def leaky_relu(x: Array) -> Array:
    """x above 0, x / 100 below."""
    return np.maximum(x, x * 0.01)


@torch_function
def selu(x: Array) -> Array:
    """s x above 0, s a (exp(x) - 1) below, with a mean of 0 and a variance of 1 as fixed point (Klambauer et al., 2017, eq. 2).

    transformers' documentation names it, `ACT2FN` doesn't have it: the reference is torch.nn.functional.selu.
    """
    s, a = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
    return s * np.maximum(x, 0) + s * a * np.expm1(np.minimum(x, 0))


@torch_function
def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))


@torch_function
def silu(x: Array) -> Array:
    """x / (1 + exp(-x)), the sigmoid linear unit (Elfwing et al., 2017), also called swish."""
    return x / (1 + np.exp(-x))


@torch_function
def tanh(x: Array) -> Array:
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x)), the hyperbolic tangent."""
    return np.tanh(x)


@torch_function
def hardswish(x: Array) -> Array:
    """x min(max(x + 3, 0), 6) / 6 (Howard et al., 2019)."""
    return x * np.minimum(np.maximum(x + 3, 0), 6) / 6


@written_out
def sqrtsoftplus(x: Array) -> Array:
    """sqrt(log(1 + exp(x)))."""
    return np.sqrt(softplus(x))


@torch_function
def mish(x: Array) -> Array:
    """x tanh(log(1 + exp(x))) (Misra, 2019)."""
    return x * np.tanh(softplus(x))


@torch_function
def gelu(x: Array) -> Array:
    """x Phi(x) = x (1 + erf(x / sqrt(2))) / 2, Phi the normal distribution (Hendrycks and Gimpel, 2016)."""
    return x * 0.5 * (1 + erf(x * sqrt(0.5)))


@written_out
def gelu_python(x: Array) -> Array:
    """x (1 + erf(x / sqrt(2))) / 2, written out."""
    return x * 0.5 * (1 + erf(x / sqrt(2)))


@torch_function
def gelu_10(x: Array) -> Array:
    """gelu(x), clipped to -10 .. 10."""
    return np.minimum(np.maximum(gelu(x), -10), 10)


@torch_function
def gelu_pytorch_tanh(x: Array) -> Array:
    """x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 (Hendrycks and Gimpel, 2016)."""
    return 0.5 * x * (1 + np.tanh(sqrt(2 / pi) * (x + 0.044715 * cube(x))))


@written_out
def gelu_new(x: Array) -> Array:
    """The formula of `gelu_pytorch_tanh`, written out."""
    return 0.5 * x * (1 + np.tanh(sqrt(2 / pi) * (x + 0.044715 * cube(x))))


@written_out
def gelu_fast(x: Array) -> Array:
    """x (1 + tanh(0.7978845608 x (1 + 0.044715 x^2))) / 2, written out."""
    return 0.5 * x * (1 + np.tanh(x * 0.7978845608 * (1 + 0.044715 * x * x)))


@written_out
def quick_gelu(x: Array) -> Array:
    """x / (1 + exp(-1.702 x)) (Hendrycks and Gimpel, 2016)."""
    return x * sigmoid(1.702 * x)


@written_out
def laplace(x: Array) -> Array:
    """(1 + erf((x - mu) / (sigma sqrt(2)))) / 2 with mu = 0.707107, sigma = 0.282095 (Ma et al., 2022, eq. 17)."""
    return 0.5 * (1 + erf((x - 0.707107) / (0.282095 * sqrt(2))))


ACTIVATIONS: dict[str, Activation] = {
    "gelu": gelu, "gelu_10": gelu_10, "gelu_accurate": gelu_new, "gelu_fast": gelu_fast, "gelu_new": gelu_new,
    "gelu_python": gelu_python, "gelu_python_tanh": gelu_new, "gelu_pytorch_tanh": gelu_pytorch_tanh,
    "hardswish": hardswish, "laplace": laplace, "leaky_relu": leaky_relu, "linear": linear_activation, "mish": mish,
    "quick_gelu": quick_gelu, "relu": relu, "relu2": relu2, "relu6": relu6, "selu": selu, "sigmoid": sigmoid, "silu": silu,
    "sqrtsoftplus": sqrtsoftplus, "swish": silu, "tanh": tanh,
}  # fmt: skip
"""`hidden_act` of a configuration -> the function."""
