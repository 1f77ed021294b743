"""The operations that every part of the model is made of: products, norms, softmax, gated perceptrons.

Sums over float16 and bfloat16 are carried in float32 and rounded once, where transformers rounds; float32 and float64 are
computed as they are, from end to end. Where 16-bit values are rounded, on a CPU, in transformers and here:

| operation | computed in | rounded |
|---|---|---|
| embedding rows, residual sums x + y, gate * up, masks, position embeddings | 16 bits | after each operation |
| product W x | float32 | once, at the end |
| product and bias W x + b | float32 | once, after the bias (on a GPU here: after the product, and after the bias) |
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

from collections.abc import Iterator, Mapping
from types import ModuleType

import numpy as np
from jaxtyping import Float

from ovis2_ref.activations import ACTIVATIONS
from ovis2_ref.arrays import Array, array_module, is_half, sum_dtype
from ovis2_ref.trace import tap

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


def matmul(a: Float[Array, "*batch n k"], b: Float[Array, "*batch k m"]) -> Float[Array, "*batch n m"]:
    """The matrix product a b. 16-bit products that the library doesn't have are made in float32 and rounded once, as a GPU does.

    NumPy has none at all; CuPy 14 has those of two matrices, but of stacks it refuses bfloat16 and widens float16 itself.
    float32 products on a GPU are float32's: CuPy leaves TF32 off unless the environment says CUPY_TF32=1.
    """
    if is_half(a.dtype) and (array_module(a) is np or max(a.ndim, b.ndim) > 2):
        return (a.astype(np.float32) @ b.astype(np.float32)).astype(a.dtype)
    return a @ b


def linear(
    x: Float[Array, "*batch inputs"],
    weight: Float[Array, "outputs inputs"],
    bias: Float[Array, " outputs"] | None = None,
) -> Float[Array, "*batch outputs"]:
    """x W^T + b, over the last axis of `x` (torch.nn.Linear's layout)."""
    rows = x.reshape(-1, x.shape[-1])
    if bias is not None and is_half(x.dtype) and array_module(x) is np:
        y = (rows.astype(np.float32) @ weight.T.astype(np.float32) + bias.astype(np.float32)).astype(x.dtype)
    else:
        y = matmul(rows, weight.T)
        if bias is not None:
            y += bias
    return y.reshape(*x.shape[:-1], weight.shape[0])


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
    xp = array_module(x)
    gate = project(x, weights, f"{name}.gate_proj", has_bias)
    up = project(x, weights, f"{name}.up_proj", has_bias)
    gates, ups = gate.reshape(-1, gate.shape[-1]), up.reshape(-1, up.shape[-1])
    for rows in row_blocks(len(gates), gates.shape[1], xp):
        xp.multiply(ACTIVATIONS[hidden_act](gates[rows]), ups[rows], out=gates[rows])
    tap(f"{name}.activated", gate)
    return project(gate, weights, f"{name}.down_proj", has_bias)


def rms_norm(
    x: Float[Array, "*batch hidden"], weight: Float[Array, " hidden"], eps: float
) -> Float[Array, "*batch hidden"]:
    """w * x / sqrt(mean(x^2) + eps) over the last axis (Zhang and Sennrich, 2019, eq. 4)."""
    xp = array_module(x)
    wide = x.astype(sum_dtype(x.dtype), copy=False)
    scale = 1 / xp.sqrt(xp.mean(wide * wide, axis=-1, keepdims=True) + eps)
    y = (wide * scale).astype(x.dtype, copy=False)
    y *= weight
    return y


def layer_norm(
    x: Float[Array, "*batch hidden"], weight: Float[Array, " hidden"], bias: Float[Array, " hidden"], eps: float = 1e-5
) -> Float[Array, "*batch hidden"]:
    """w * (x - mean) / sqrt(var + eps) + b over the last axis (Ba et al., 2016); eps is torch.nn.LayerNorm's default."""
    xp = array_module(x)
    y = x.astype(sum_dtype(x.dtype))
    y -= y.mean(axis=-1, keepdims=True)
    y /= xp.sqrt(xp.mean(y * y, axis=-1, keepdims=True) + eps)
    y *= weight
    y += bias
    return y.astype(x.dtype, copy=False)


def softmax(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    """exp(x_i) / sum_j exp(x_j) over the last axis, shifted by the maximum so that nothing overflows."""
    xp = array_module(x)
    y = xp.subtract(x, x.max(axis=-1, keepdims=True), dtype=sum_dtype(x.dtype))
    xp.exp(y, out=y)
    y /= y.sum(axis=-1, keepdims=True)
    return y.astype(x.dtype, copy=False)
