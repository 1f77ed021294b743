"""The operations that every part of the model uses: linear layers, norms, softmax, attention, SwiGLU.

Sums over float16 and bfloat16 are carried in float32 and rounded once, where transformers rounds; float32 and float64 are
computed in their own precision. Where transformers on a CPU rounds 16-bit values, and where we do:

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

torch also rounds W x before it adds the bias where x isn't contiguous, as in transformers' vision tower with biases, where
patches are transposed: 2 of 3 values then equal ours. No released model has those biases.
"""

import numpy as np
from jaxtyping import Float

from ovis2_ref.activations import ACTIVATIONS, Activation
from ovis2_ref.runtime.arrays import Array, rounded, widened
from ovis2_ref.runtime.blocks import Mask, by_groups_of_rows, by_queries, by_rows
from ovis2_ref.runtime.gpu import kernels
from ovis2_ref.runtime.gpu.kernels import on_gpu
from ovis2_ref.runtime.parts import by_parts
from ovis2_ref.runtime.products import matmul
from ovis2_ref.runtime.tape import differentiable
from ovis2_ref.runtime.weights import Weights


@differentiable
def linear(x: Float[Array, "*batch inputs"], w: Weights) -> Float[Array, "*batch outputs"]:
    """W x + b over the last axis; b only where there is one. `weight` is (outputs, inputs), or a kernel (outputs, ...)."""
    weight, bias = w["weight"], w["bias"] if "bias" in w else None  # noqa: SIM401 (`w` has no `get`)
    y = matmul(x.reshape(-1, x.shape[-1]), weight.reshape(len(weight), -1).T, bias)
    return w.tap("output", y.reshape(*x.shape[:-1], len(weight)))


@differentiable
@by_rows(gpu=kernels.rms_norm)
def rms_norm(x: Float[Array, "*batch hidden"], w: Weights, eps: float) -> Float[Array, "*batch hidden"]:
    """weight * x / sqrt(mean(x^2) + eps) over the last axis (Zhang and Sennrich, 2019, eq. 4)."""
    wide = widened(x)
    mean_square = (wide * wide).mean(axis=-1, keepdims=True)
    y = wide * (1 / np.sqrt(mean_square + eps))
    return w.tap("output", rounded(y, x.dtype) * w["weight"])


@differentiable
@by_rows(gpu=kernels.layer_norm)
def layer_norm(x: Float[Array, "*batch hidden"], w: Weights, eps: float = 1e-5) -> Float[Array, "*batch hidden"]:
    """weight * (x - mean) / sqrt(var + eps) + bias over the last axis (Ba et al., 2016); eps is torch.nn.LayerNorm's default."""
    centred = widened(x) - widened(x).mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    y = centred / np.sqrt(variance + eps)
    return w.tap("output", rounded(y * w["weight"] + w["bias"], x.dtype))


@differentiable
@by_rows(gpu=kernels.softmax)
def softmax(x: Float[Array, "*batch n"]) -> Float[Array, "*batch n"]:
    """exp(x_i) / sum_j exp(x_j) over the last axis, shifted by the maximum so that nothing overflows."""
    e = np.exp(widened(x) - x.max(axis=-1, keepdims=True))
    return rounded(e / e.sum(axis=-1, keepdims=True), x.dtype)


@by_groups_of_rows
@by_parts("gate_proj", "up_proj", last="down_proj")
def feed_forward(x: Float[Array, "*batch hidden"], w: Weights, hidden_act: str) -> Float[Array, "*batch hidden"]:
    """W_down (act(W_gate x) * W_up x): SwiGLU (Shazeer, 2020, eq. 6) where act is SiLU."""
    gate, up = linear(x, w / "gate_proj"), linear(x, w / "up_proj")
    return linear(w.tap("activated", gated(gate, up, ACTIVATIONS[hidden_act])), w / "down_proj")


@differentiable
@by_rows(gpu=kernels.gated)
def gated(gate: Float[Array, "*batch n"], up: Float[Array, "*batch n"], act: Activation) -> Float[Array, "*batch n"]:
    """act(gate) * up."""
    return rounded(act(gate), gate.dtype) * up


@differentiable
@by_queries(gpu=kernels.attend)
def attend(
    q: Float[Array, "batch heads tokens head_dim"],
    k: Float[Array, "batch kv_heads keys head_dim"],
    v: Float[Array, "batch kv_heads keys head_dim"],
    mask: Float[Array, "#batch #heads tokens keys"] | Mask | None,
    w: Weights,
) -> Float[Array, "batch heads tokens head_dim"]:
    """softmax(q k^T / sqrt(head_dim) + mask) v, for every head (Vaswani et al., 2017, eq. 1).

    Groups of query heads share a key and value head (Ainslie et al., 2023): heads 0 to g - 1 the first one, and so on.
    """
    (batch, heads, tokens, head_dim), (kv_heads, keys) = q.shape, k.shape[1:3]
    q = q.reshape(batch, kv_heads, -1, head_dim)  # the queries of a group, one head after the other
    scores = scale(matmul(q, k.swapaxes(-1, -2)), head_dim**-0.5).reshape(batch, heads, tokens, keys)
    scores = w.tap("scores", scores if mask is None else scores + mask)
    weights = w.tap("weights", rounded(softmax(scores), q.dtype))
    return matmul(weights.reshape(batch, kv_heads, -1, keys), v).reshape(batch, heads, tokens, head_dim)


@differentiable
@on_gpu(kernels.scale)
def scale(x: Float[Array, "*shape"], factor: float) -> Float[Array, "*shape"]:
    """factor * x, rounded once."""
    return rounded(widened(x) * factor, x.dtype)


def split_heads(x: Float[Array, "batch tokens width"], head_dim: int) -> Float[Array, "batch heads tokens head_dim"]:
    """(b, t, heads * d) -> (b, heads, t, d)."""
    return x.reshape(*x.shape[:2], -1, head_dim).swapaxes(1, 2)


def merge_heads(x: Float[Array, "batch heads tokens head_dim"]) -> Float[Array, "batch tokens width"]:
    """(b, heads, t, d) -> (b, t, heads * d)."""
    batch, heads, tokens, head_dim = x.shape
    return x.swapaxes(1, 2).reshape(batch, tokens, heads * head_dim)
