"""Twins of the operations for a GPU: each is one kernel, from rows.cu where it sums over a row, else a fused chain of steps.

`@on_gpu(twin)` above a plain formula sends arrays on a GPU to the twin. A twin takes the formula's arguments, and
tests compare the two.
"""

from collections.abc import Callable
from functools import cache, wraps
from typing import Any, TypeVar

import numpy as np

from ovis2_ref.runtime.arrays import Array, array_module, is_half, rounded, sum_dtype, widened
from ovis2_ref.runtime.gpu.cublas import cublas_product
from ovis2_ref.runtime.gpu.cuda_text import launch, steps, with_whole_rows
from ovis2_ref.runtime.gpu.fused_attention import attend_in_one, takes
from ovis2_ref.runtime.gpu.fusion import fused
from ovis2_ref.runtime.taps import anybody_listens, is_listening
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
    return w.tap("output", _by_row("rms_norm", x, w["weight"], eps=eps))


def layer_norm(x: Array, w: Weights, eps: float = 1e-5) -> Array:
    """Twin of `ops.layer_norm`."""
    return w.tap("output", _by_row("layer_norm", x, w["weight"], w["bias"], eps=eps))


def _by_row(name: str, x: Array, *weights: Array, eps: float) -> Array:
    """Return a norm over the last axis of `x`."""
    xp, width = array_module(x), x.shape[-1]
    x = xp.ascontiguousarray(x)
    y = xp.empty_like(x)
    if x.size:
        launch(name, (x.size // width,), _threads(width), x, *weights, y, width, sum_dtype(x.dtype).type(eps))
    return y


def _threads(width: int) -> int:
    """Return how many threads share a row: whole warps of 32, and 8 numbers or fewer for each thread, but at most 32 warps."""
    return 32 * min(32, -(-width // 256))


def softmax(x: Array) -> Array:
    """Twin of `ops.softmax`."""
    return softmax_of_scores(x.reshape(1, 1, -1, x.shape[-1]), 1, None).reshape(x.shape)


def softmax_of_scores(scores: Array, factor: float, mask: Array | None) -> Array:
    """Return softmax(scores * factor + mask) of (batch, heads, queries, keys), rounded as `ops.attend` rounds."""
    xp, (batch, heads, queries, keys) = array_module(scores), scores.shape
    if mask is not None and mask.dtype != scores.dtype:
        return rounded(softmax(scale(scores, factor) + mask), scores.dtype)
    scores = xp.ascontiguousarray(scores)
    weights = xp.empty_like(scores)
    mask = None if mask is None else xp.broadcast_to(with_whole_rows(mask), scores.shape)
    if scores.size:
        grid, of_mask = (queries, heads, batch), (0, 0, 0) if mask is None else steps(mask)
        launch(
            "softmax", grid, _threads(keys), scores, weights, keys, sum_dtype(scores.dtype).type(factor), mask, *of_mask
        )
    return weights


def attend(q: Array, k: Array, v: Array, mask: Array | None, w: Weights) -> Array:
    """Twin of `ops.attend`: one kernel between the products, or one in all; a token's heads lie side by side in the result."""
    if takes(q, mask) and not any(is_listening(f"{w.name}.{value}") for value in ("scores", "weights")):
        return attend_in_one(q, k, v, mask)
    factor = q.shape[-1] ** -0.5
    scores = cublas_product(q, k.swapaxes(-1, -2))
    if anybody_listens():
        scaled = scale(scores, factor)
        w.tap("scores", scaled if mask is None else scaled + mask)
    weights = w.tap("weights", softmax_of_scores(scores, factor, mask))
    batch, heads, tokens, head_dim = q.shape
    context = array_module(q).empty((batch, tokens, heads, head_dim), dtype=q.dtype).swapaxes(1, 2)
    return cublas_product(weights, v, out=context)


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
    """Twin of `language.rope.rotate`; the tokens of a head lie one after the other in the result."""
    xp, (batch, heads, tokens, head_dim) = array_module(x), x.shape
    x, cos, sin = with_whole_rows(x), xp.ascontiguousarray(cos), xp.ascontiguousarray(sin)
    turned, pairs = xp.empty(x.shape, dtype=x.dtype), head_dim // 2
    if x.size:
        of_tables = (pairs, tokens * pairs if len(cos) > 1 else 0)
        launch("rotate", (tokens, heads, batch), 32, x, cos, sin, turned, pairs, *steps(x), *of_tables)
    return turned
