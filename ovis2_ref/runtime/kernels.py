"""Twins of the operations for a GPU: a chain of elementwise steps is one kernel (`fused`), so that a layer launches half as
many kernels.

`@on_gpu(twin)` above a plain formula sends arrays on a GPU to the twin. A twin takes the formula's arguments, and
tests compare the two. Sums stay outside of the fused parts (see `fusion.py`).
"""

from collections.abc import Callable
from functools import cache, wraps
from typing import Any, TypeVar

import numpy as np

from ovis2_ref.runtime.arrays import Array, array_module, is_half, rounded, widened
from ovis2_ref.runtime.fusion import fused
from ovis2_ref.runtime.weights import Weights

Formula = TypeVar("Formula", bound=Callable[..., Any])


def on_gpu(twin: Callable[..., Any]) -> Callable[[Formula], Formula]:
    """Decorate a formula: arrays on a GPU go to `twin`, NumPy's to the formula."""

    def decorate(formula: Formula) -> Formula:
        @wraps(formula)
        def call(x: Array, *others: Any) -> Any:
            return (formula if array_module(x) is np else twin)(x, *others)

        return call  # type: ignore[return-value]

    return decorate


def rms_norm(x: Array, w: Weights, eps: float) -> Array:
    """Twin of `ops.rms_norm`."""
    y = array_module(x).empty_like(x)
    _scale_by_root(y, x, _square(x).mean(axis=-1, keepdims=True), eps, w["weight"])
    return w.tap("output", y)


@fused
def _square(x: Array) -> Array:
    wide = widened(x)
    return wide * wide


@fused
def _scale_by_root(y: Array, x: Array, mean_square: Array, eps: Array, weight: Array) -> None:
    xp = array_module(x)
    xp.multiply(widened(x), 1 / xp.sqrt(mean_square + eps), out=y)
    y *= weight


def layer_norm(x: Array, w: Weights, eps: float = 1e-5) -> Array:
    """Twin of `ops.layer_norm`."""
    wide = widened(x)
    y = wide - wide.mean(axis=-1, keepdims=True)
    _standardise(y, _square(y).mean(axis=-1, keepdims=True), eps, w["weight"], w["bias"])
    return w.tap("output", rounded(y, x.dtype))


@fused
def _standardise(y: Array, variance: Array, eps: Array, weight: Array, bias: Array) -> None:
    y /= array_module(y).sqrt(variance + eps)
    y *= weight
    y += bias


def softmax(x: Array) -> Array:
    """Twin of `ops.softmax`."""
    xp = array_module(x)
    y = _exp_of_difference(x, x.max(axis=-1, keepdims=True))
    return xp.divide(y, y.sum(axis=-1, keepdims=True), out=xp.empty_like(x) if is_half(x.dtype) else y)


@fused
def _exp_of_difference(x: Array, highest: Array) -> Array:
    return array_module(x).exp(widened(x) - highest)


def scale(x: Array, factor: float) -> Array:
    """Twin of `ops.scale`."""
    y = array_module(x).empty_like(x)
    _multiply(x, factor, y)
    return y


@fused
def _multiply(x: Array, factor: Array, y: Array) -> None:
    array_module(x).multiply(widened(x), factor, out=y)


def gated(gate: Array, up: Array, activation: Callable[[Array], Array]) -> Array:
    """Twin of `ops.gated`."""
    y = array_module(gate).empty_like(gate)
    _gate(activation, is_half(gate.dtype) and hasattr(activation, "written_out"))(gate, up, y)
    return y


@cache
def _gate(activation: Callable[[Array], Array], rounds_inside: bool) -> Callable[[Array, Array, Array], None]:
    def gate_by(gate: Array, up: Array, y: Array) -> None:
        y[...] = activation(gate)
        y *= up

    return gate_by if rounds_inside else fused(gate_by)


def rotate(x: Array, cos: Array, sin: Array) -> Array:
    """Twin of `language.rope.rotate`."""
    half = x.shape[-1] // 2
    turned = array_module(x).empty_like(x)
    _turn(x[..., :half], x[..., half:], cos[:, None], sin[:, None], turned[..., :half], turned[..., half:])
    return turned


@fused
def _turn(a: Array, b: Array, cos: Array, sin: Array, turned_a: Array, turned_b: Array) -> None:
    turned_a[...] = a * cos - b * sin
    turned_b[...] = b * cos + a * sin
