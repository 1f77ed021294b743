"""Backward formulas of the operations in `ops.py`.

Sums over 16-bit numbers are carried in float32 and rounded once; a gradient has the type of what it belongs to.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from ovis2_ref.activations import Activation
from ovis2_ref.gradients.activations import SLOPES
from ovis2_ref.ops import gated, layer_norm, linear, rms_norm, scale, softmax
from ovis2_ref.runtime.arrays import Array, rounded, widened
from ovis2_ref.runtime.backward_blocks import by_rows_back
from ovis2_ref.runtime.products import matmul
from ovis2_ref.runtime.tape import backward_of
from ovis2_ref.runtime.weights import Weights


def column_sums(x: Float[Array, "rows n"]) -> Float[Array, " n"]:
    """1^T x, the sum of all rows, as a product: over 6,144 rows of float32 its error is a third of that of `sum`."""
    return matmul(np.ones_like(x[:, :1]).T, x)[0]


def rows_of(x: Float[Array, "*batch n"]) -> Float[Array, "rows n"]:
    """All axes but the last as one."""
    return x.reshape(-1, x.shape[-1])


@backward_of(linear)
def linear_backward(
    dy: Float[Array, "*batch outputs"], x: Float[Array, "*batch inputs"], w: Weights
) -> tuple[Float[Array, "*batch inputs"], dict[str, Array]]:
    """dx = dy W, dW = dy^T x, db = sum of dy over the rows (y = x W^T + b)."""
    weight, dy_rows = w["weight"], rows_of(w.tap("output.gradient", dy))
    dx = matmul(dy_rows, weight.reshape(len(weight), -1)).reshape(x.shape)
    dw = {"weight": matmul(dy_rows.T, rows_of(x)).reshape(weight.shape)}
    return dx, dw | ({"bias": column_sums(dy_rows)} if "bias" in w else {})


@backward_of(rms_norm)
@by_rows_back
def rms_norm_backward(
    dy: Float[Array, "*batch hidden"], x: Float[Array, "*batch hidden"], w: Weights, eps: float
) -> tuple[Float[Array, "*batch hidden"], dict[str, Array]]:
    """dx = r (g - n mean(g n)), dweight = sum(dy n), with r = 1 / sqrt(mean(x^2) + eps), n = r x, g = weight dy."""
    wide, g = widened(x), widened(w.tap("output.gradient", dy) * w["weight"])
    r = 1 / np.sqrt((wide * wide).mean(axis=-1, keepdims=True) + eps)
    n = wide * r
    dx = r * (g - n * (g * n).mean(axis=-1, keepdims=True))
    return rounded(dx, x.dtype), {"weight": rounded(column_sums(rows_of(widened(dy) * n)), x.dtype)}


@backward_of(layer_norm)
@by_rows_back
def layer_norm_backward(
    dy: Float[Array, "*batch hidden"], x: Float[Array, "*batch hidden"], w: Weights, eps: float = 1e-5
) -> tuple[Float[Array, "*batch hidden"], dict[str, Array]]:
    """dx = r (g - mean(g) - n mean(g n)), dweight = sum(dy n), dbias = sum(dy); r = 1 / sqrt(var + eps), n = r (x - mean)."""
    dy = widened(w.tap("output.gradient", dy))
    centred, g = widened(x) - widened(x).mean(axis=-1, keepdims=True), dy * w["weight"]
    r = 1 / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + eps)
    n = centred * r
    dx = r * (g - g.mean(axis=-1, keepdims=True) - n * (g * n).mean(axis=-1, keepdims=True))
    dw = {"weight": column_sums(rows_of(dy * n)), "bias": column_sums(rows_of(dy))}
    return rounded(dx, x.dtype), {word: rounded(gradient, x.dtype) for word, gradient in dw.items()}


def softmax_slope(dy: Float[Array, "*batch n"], y: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    """dx = y (dy - sum(dy y)), from the softmax's result y."""
    y, dy = widened(y), widened(dy)
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))


@backward_of(softmax)
@by_rows_back
def softmax_backward(dy: Float[Array, "*batch n"], x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    """dx = y (dy - sum(dy y)) over the last axis, with y = softmax(x)."""
    return rounded(softmax_slope(dy, softmax(x)), x.dtype)


@backward_of(gated)
@by_rows_back
def gated_backward(
    dy: Float[Array, "*batch n"], gate: Float[Array, "*batch n"], up: Float[Array, "*batch n"], act: Activation
) -> tuple[Float[Array, "*batch n"], Float[Array, "*batch n"]]:
    """dgate = dy up act'(gate), dup = dy act(gate)."""
    slope: Callable[[Array], Array] = SLOPES[act]
    return rounded(widened(dy * up) * slope(widened(gate)), gate.dtype), dy * rounded(act(gate), gate.dtype)


@backward_of(scale)
def scale_backward(dy: Float[Array, "*shape"], x: Float[Array, "*shape"], factor: float) -> Float[Array, "*shape"]:
    """dx = factor dy."""
    return scale(dy, factor)
