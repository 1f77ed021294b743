"""The operations in the formulas of the stages, in several arithmetics, each of them correct.

`PLAIN` computes as the model does. `IN_ORDER` adds the terms of every sum one after the other, as a plain loop in C does: the
largest rounding that a port may show. `SHUFFLED` are further orders, for values of few numbers. `rounded_factors` first rounds
the factors of products, as the TF32 units of a GPU do.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import ml_dtypes
import numpy as np
from jaxtyping import Float

from ovis2_ref import ops
from ovis2_ref.runtime.arrays import Array, sum_dtype, widened
from ovis2_ref.runtime.weights import Weights

BLOCK = 2**20
"""Numbers of a running sum that are processed at a time, so that they stay in the cache."""


class Arithmetic(NamedTuple):
    """One way of computing: products, norms and softmax."""

    name: str
    matmul: Callable[[Array, Array], Array]
    rms_norm: Callable[[Array, Weights, float], Array]
    layer_norm: Callable[[Array, Weights], Array]
    softmax: Callable[[Array], Array]
    rounds_before_bias: bool = False
    """True if a product of 16-bit numbers is rounded to 16 bits before its bias is added, as some programs do."""

    def linear(self, x: Float[Array, "*batch inputs"], w: Weights) -> Float[Array, "*batch outputs"]:
        """x W^T, plus b where `w` has a bias. `weight` is (outputs, inputs), or a kernel (outputs, ...)."""
        weight = widened(w["weight"])
        y = self.times(widened(x), weight.reshape(len(weight), -1).T)
        if "bias" in w:
            y = widened(y.astype(x.dtype)) if self.rounds_before_bias else y
            y = y + widened(w["bias"])
        return y.astype(x.dtype)

    def times(self, x: Float[Array, "*batch n"], matrix: Float[Array, "n m"]) -> Float[Array, "*batch m"]:
        """x times a matrix, over the last axis."""
        return self.matmul(x.reshape(-1, x.shape[-1]), matrix).reshape(*x.shape[:-1], matrix.shape[-1])


Order = Callable[[int], Array]
"""The number of terms of a sum -> the order in which they are added."""


def in_order(name: str, order: Order = np.arange) -> Arithmetic:
    """Return the arithmetic that adds the terms of every sum one after the other, in that order."""
    return Arithmetic(
        name,
        partial(_matmul, order),
        partial(_rms_norm, order),
        partial(_layer_norm, order),
        partial(_softmax, order),
        rounds_before_bias=True,
    )


def shuffled(number: int) -> Order:
    """Return the `number`-th of many random orders."""
    return lambda count: np.random.default_rng((number, count)).permutation(count)


def _sum(order: Order, terms: Float[Array, "*batch n"]) -> Float[Array, "*batch 1"]:
    """Return the sum over the last axis, term by term in the type of the sums."""
    return np.add.accumulate(widened(terms)[..., order(terms.shape[-1])], axis=-1)[..., -1:]


def _matmul(order: Order, a: Float[Array, "*batch n k"], b: Float[Array, "*batch k m"]) -> Float[Array, "*batch n m"]:
    """a b."""
    x, y = widened(a), widened(b)
    shape = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    total = np.zeros((*shape, x.shape[-2], y.shape[-1]), x.dtype)
    rows = max(1, BLOCK // max(1, y.shape[-1] * int(np.prod(shape, dtype=np.int64))))
    terms = order(x.shape[-1])
    for start in range(0, x.shape[-2], rows):
        part = total[..., start : start + rows, :]
        for k in terms:
            part += x[..., start : start + rows, k, None] * y[..., None, k, :]
    return total.astype(a.dtype)


def _rms_norm(order: Order, x: Float[Array, "*batch n"], w: Weights, eps: float) -> Float[Array, "*batch n"]:
    """Return what `ops.rms_norm` returns."""
    wide = widened(x)
    mean = _sum(order, wide * wide) / wide.dtype.type(x.shape[-1])
    return (wide * (1 / np.sqrt(mean + wide.dtype.type(eps)))).astype(x.dtype) * w["weight"]


def _layer_norm(order: Order, x: Float[Array, "*batch n"], w: Weights) -> Float[Array, "*batch n"]:
    """Return what `ops.layer_norm` returns."""
    wide = widened(x)
    count = wide.dtype.type(x.shape[-1])
    centred = wide - _sum(order, wide) / count
    variance = _sum(order, centred * centred) / count
    y = centred / np.sqrt(variance + wide.dtype.type(1e-5)) * widened(w["weight"]) + widened(w["bias"])
    return y.astype(x.dtype)


def _softmax(order: Order, x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    """Return what `ops.softmax` returns."""
    e = np.exp(widened(x) - widened(x.max(axis=-1, keepdims=True)))
    return (e / _sum(order, e)).astype(x.dtype)


PLAIN = Arithmetic("plain", ops.matmul, ops.rms_norm, ops.layer_norm, ops.softmax)
IN_ORDER = in_order("in order")
SHUFFLED = tuple(in_order(f"shuffled, {number}", shuffled(number)) for number in range(6))


def tf32(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return `x` with ten bits after the leading one, ties away from zero: what a TF32 unit multiplies."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return ((bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)


def tf32_truncated(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return `x` with ten bits after the leading one, the rest cut off, as a TF32 unit does with float32 that wasn't rounded
    before.
    """
    return (np.ascontiguousarray(x, np.float32).view(np.uint32) & np.uint32(0xFFFFE000)).view(np.float32)


ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "TF32": tf32,
    "TF32, truncated": tf32_truncated,
    "float16": lambda x: x.astype(np.float16),
    "bfloat16": lambda x: x.astype(ml_dtypes.bfloat16),
}
"""Lower types that a program may compute products in."""


def rounded_factors(name: str) -> Arithmetic:
    """Return `PLAIN` with the factors of every product rounded to the lower type called `name` first, and sums in float32."""

    def matmul(a: Array, b: Array) -> Array:
        low_a, low_b = (ROUNDINGS[name](x).astype(sum_dtype(x.dtype)) for x in (a, b))
        return ops.matmul(low_a, low_b)

    return PLAIN._replace(name=name, matmul=matmul)
