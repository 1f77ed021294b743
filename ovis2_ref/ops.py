"""The operations that every part of the model is made of: products, norms, softmax, activations.

Sums over float16 and bfloat16 are carried in float32 and rounded once, where transformers rounds; float32 and float64 are
computed as they are, from end to end.
"""

import numpy as np
from jaxtyping import Float

from ovis2_ref.arrays import Array, array_module, is_half, sum_dtype


def matmul(a: Float[Array, "*batch n k"], b: Float[Array, "*batch k m"]) -> Float[Array, "*batch n m"]:
    """The matrix product a b. NumPy has no 16-bit products: float32 computes them, rounded once, as a GPU does by itself."""
    if is_half(a.dtype) and array_module(a) is np:
        return (a.astype(np.float32) @ b.astype(np.float32)).astype(a.dtype)
    return a @ b


def linear(
    x: Float[Array, "*batch inputs"],
    weight: Float[Array, "outputs inputs"],
    bias: Float[Array, " outputs"] | None = None,
) -> Float[Array, "*batch outputs"]:
    """x W^T + b, over the last axis of `x` (torch.nn.Linear's layout)."""
    rows = x.reshape(-1, x.shape[-1])
    if bias is None:
        y = matmul(rows, weight.T)
    elif is_half(x.dtype):
        y = (rows.astype(np.float32) @ weight.T.astype(np.float32) + bias.astype(np.float32)).astype(x.dtype)
    else:
        y = rows @ weight.T
        y += bias
    return y.reshape(*x.shape[:-1], weight.shape[0])


def rms_norm(
    x: Float[Array, "*batch hidden"], weight: Float[Array, " hidden"], eps: float
) -> Float[Array, "*batch hidden"]:
    """w * x / sqrt(mean(x^2) + eps) over the last axis (Zhang and Sennrich, 2019, eq. 4)."""
    xp = array_module(x)
    wide = x.astype(sum_dtype(x.dtype), copy=False)
    scale = 1 / xp.sqrt(xp.mean(wide * wide, axis=-1, keepdims=True) + eps)
    return weight * (wide * scale).astype(x.dtype, copy=False)


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
    y = x.astype(sum_dtype(x.dtype))
    y -= y.max(axis=-1, keepdims=True)
    xp.exp(y, out=y)
    y /= y.sum(axis=-1, keepdims=True)
    return y.astype(x.dtype, copy=False)


def silu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """x / (1 + exp(-x)), the sigmoid linear unit (Elfwing et al., 2017), also called swish."""
    xp = array_module(x)
    wide = x.astype(sum_dtype(x.dtype), copy=False)
    with np.errstate(over="ignore"):  # exp(-x) = inf gives the right limit, 0
        y = xp.exp(-wide)
    y += 1
    return xp.divide(wide, y, out=y).astype(x.dtype, copy=False)


ACTIVATIONS = {"silu": silu, "swish": silu}
"""`hidden_act` of a configuration -> the function."""
