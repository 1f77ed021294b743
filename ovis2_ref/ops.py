"""The operations that every part of the model is made of: products, norms, softmax, gated perceptrons.

Sums over float16 and bfloat16 are carried in float32 and rounded once, where transformers rounds; float32 and float64 are
computed as they are, from end to end. Where 16-bit values are rounded, on a CPU, in transformers and here:

| operation | computed in | rounded |
|---|---|---|
| embedding rows, residual sums x + y, gate * up, masks, position embeddings | 16 bits | after each operation |
| product W x | float32 | once, at the end |
| product and bias W x + b | float32 | once, after the bias |
| RMSNorm | float32: mean of squares, 1 / sqrt, times x | before the weight, and after it |
| LayerNorm | float32, weight and bias too | once |
| activation that is one torch function (silu, gelu, gelu_pytorch_tanh, relu, tanh, ...) | float32 | once |
| activation that transformers writes as an expression (gelu_new, quick_gelu, ...) | float32 | after each operation |
| rotary: angles, cos, sin, times the attention factor | float32 | once, the finished tables |
| rotary: a cos - b sin | 16 bits | each product, then their sum |
| attention scores q k^T | float32 | after the product, after the scaling, after the mask |
| softmax | float32 | once, the finished weights (of attention, and of visual tokens) |
| weights times values; visual tokens times the embedding table | float32 | once |
| logits | float32 | once; the loss is computed from them in float32 |
| rotary inverse frequencies | float32 always, in float64 too | each operation |
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from types import ModuleType

import numpy as np
from jaxtyping import Float

from ovis2_ref.activations import ACTIVATIONS, WRITTEN_OUT
from ovis2_ref.runtime.arrays import Array, array_module, is_half, widened
from ovis2_ref.runtime.cublas import cublas_product
from ovis2_ref.runtime.fusion import fused
from ovis2_ref.runtime.taps import tap

Weights = Mapping[str, Array]

AT_ONCE_ON_CPU = 2**18
"""Numbers of an intermediate array that are made at a time: 1 MiB of float32 stays in a core's cache until it is used."""
AT_ONCE_ON_GPU = 2**28
"""On a GPU only the memory sets a limit: 1 GiB of float32."""


def row_blocks(rows: int, width: int, xp: ModuleType) -> Iterator[slice]:
    """Slices that cover `rows` rows of `width` numbers, each of as many rows as are made at a time, but at least one."""
    size = max(1, (AT_ONCE_ON_CPU if xp is np else AT_ONCE_ON_GPU) // max(1, width))
    for start in range(0, rows, size):
        yield slice(start, min(start + size, rows))


def matmul(
    a: Float[Array, "*batch n k"], b: Float[Array, "*batch k m"], start: Float[Array, " m"] | None = None
) -> Float[Array, "*batch n m"]:
    """start + a b. NumPy has no 16-bit products: they are made in float32 and rounded once, at the end, as a GPU does."""
    if array_module(a) is not np:
        return cublas_product(a, b, start)
    y = widened(a) @ widened(b)
    if start is not None:
        y += start
    return y.astype(a.dtype, copy=False)


def linear(
    x: Float[Array, "*batch inputs"],
    weight: Float[Array, "outputs inputs"],
    bias: Float[Array, " outputs"] | None = None,
) -> Float[Array, "*batch outputs"]:
    """x W^T + b, over the last axis of `x` (torch.nn.Linear's layout)."""
    return matmul(x.reshape(-1, x.shape[-1]), weight.T, bias).reshape(*x.shape[:-1], weight.shape[0])


def project(
    x: Float[Array, "*batch inputs"], weights: Weights, name: str, has_bias: bool
) -> Float[Array, "*batch outputs"]:
    """W x, or W x + b: the linear layer called `name`."""
    y = linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"] if has_bias else None)
    tap(f"{name}.output", y)
    return y


def gated_perceptron(
    x: Float[Array, "*batch hidden"], weights: Weights, name: str, hidden_act: str, has_bias: bool
) -> Float[Array, "*batch hidden"]:
    """W_down (act(W_gate x) * W_up x): SwiGLU (Shazeer, 2020, eq. 6) where act is SiLU."""
    gate = project(x, weights, f"{name}.gate_proj", has_bias)
    up = project(x, weights, f"{name}.up_proj", has_bias)
    gates, ups = gate.reshape(-1, gate.shape[-1]), up.reshape(-1, up.shape[-1])
    activate = gating(hidden_act, is_half(x.dtype))
    for rows in row_blocks(len(gates), gates.shape[1], array_module(x)):
        activate(gates[rows], ups[rows])
    tap(f"{name}.activated", gate)
    return project(gate, weights, f"{name}.down_proj", has_bias)


@cache
def gating(hidden_act: str, half: bool) -> Callable[[Array, Array], None]:
    """gate, up -> act(gate) * up, put into `gate`; in 16 bits (`half`) rounded before the product and after it."""
    activation = ACTIVATIONS[hidden_act]

    def gate_by(gate: Array, up: Array) -> None:
        with np.errstate(over="ignore"):  # what float16 can't hold becomes infinity, in torch too
            gate[...] = activation(gate)
            gate *= up

    return gate_by if half and activation in WRITTEN_OUT else fused(gate_by)


def rms_norm(
    x: Float[Array, "*batch hidden"], weight: Float[Array, " hidden"], eps: float
) -> Float[Array, "*batch hidden"]:
    """w * x / sqrt(mean(x^2) + eps) over the last axis (Zhang and Sennrich, 2019, eq. 4)."""
    y = array_module(x).empty_like(x)
    _scale(y, x, _square(x).mean(axis=-1, keepdims=True), eps, weight)
    return y


@fused
def _square(x: Array) -> Array:
    wide = widened(x)
    return wide * wide


@fused
def _scale(y: Array, x: Array, mean_square: Array, eps: Array, weight: Array) -> None:
    xp = array_module(x)
    xp.multiply(widened(x), 1 / xp.sqrt(mean_square + eps), out=y)
    y *= weight


def layer_norm(
    x: Float[Array, "*batch hidden"], weight: Float[Array, " hidden"], bias: Float[Array, " hidden"], eps: float = 1e-5
) -> Float[Array, "*batch hidden"]:
    """w * (x - mean) / sqrt(var + eps) + b over the last axis (Ba et al., 2016); eps is torch.nn.LayerNorm's default."""
    wide = widened(x)
    y = wide - wide.mean(axis=-1, keepdims=True)
    _standardise(y, _square(y).mean(axis=-1, keepdims=True), eps, weight, bias)
    return y.astype(x.dtype, copy=False)


@fused
def _standardise(y: Array, variance: Array, eps: Array, weight: Array, bias: Array) -> None:
    y /= array_module(y).sqrt(variance + eps)
    y *= weight
    y += bias


def softmax(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    """exp(x_i) / sum_j exp(x_j) over the last axis, shifted by the maximum so that nothing overflows."""
    xp = array_module(x)
    y = _exp_of_difference(x, x.max(axis=-1, keepdims=True))
    return xp.divide(y, y.sum(axis=-1, keepdims=True), out=xp.empty_like(x) if is_half(x.dtype) else y)


@fused
def _exp_of_difference(x: Array, highest: Array) -> Array:
    xp = array_module(x)
    y = widened(x) - highest
    return xp.exp(y, out=y)


def scaled_softmax(
    scores: Float[Array, "*batch n"], factor: float, mask: Float[Array, "..."] | None = None
) -> Float[Array, "*batch n"]:
    """softmax(factor * scores + mask), rounded to 16 bits after each of the three; `scores` are overwritten.

    A mask of a wider type makes the sum, and the result, that wide.
    """
    _multiply(scores, factor)
    if mask is not None:
        with np.errstate(over="ignore"):  # the lowest float16 and a score below -16 make -infinity, in torch too
            scores = scores + mask
    return softmax(scores)


@fused
def _multiply(x: Array, factor: Array) -> None:
    array_module(x).multiply(widened(x), factor, out=x)
