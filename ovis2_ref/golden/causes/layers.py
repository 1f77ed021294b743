"""Mistakes in a layer of the vision transformer or the language model: norms, products, heads, softmax, SwiGLU."""

from collections.abc import Callable, Iterator

import numpy as np
from ml_dtypes import bfloat16

from ovis2_ref.activations import ACTIVATIONS
from ovis2_ref.golden.causes import Cause
from ovis2_ref.golden.stages import Reference
from ovis2_ref.runtime.arrays import Array
from ovis2_ref.runtime.weights import Weights

NORMS = ("rms_norm", "rms_norm1", "rms_norm2", "input_layernorm", "post_attention_layernorm", "norm")
PRODUCTS = ("q_proj", "k_proj", "v_proj", "out_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "head_linear")
BIASED = ("q_proj", "k_proj", "v_proj")
SCORES, WEIGHTS = ("*.attention.scores", "*.self_attn.scores"), ("*.attention.weights", "*.self_attn.weights")
CONTEXT = ("*.attention.context", "*.self_attn.context")
GATED = ("*.ffn.activated", "*.mlp.activated")
FIRST_SUM, SECOND_SUM = ("*.after_attention",), ("*.layers.*.output",)


def part_of(m: Reference, w: Weights, name: str) -> Weights:
    """Return the part called `name` inside the layer or the tower that `w` is."""
    for inside in (w / name, w / "attention" / name, w / "self_attn" / name, w / "ffn" / name, w / "mlp" / name):
        if "weight" in inside:
            return inside
    raise ValueError(f"{w.name} has no {name}")


def norm_with(name: str, change: Callable[[Reference, Weights, Array, float], Array]) -> Callable[..., Array]:
    """Return the formula of the norm called `name` with a mistake: change(reference, part, x, eps)."""

    def compute(m: Reference, w: Weights, x: Array) -> Array:
        vision = w.name.startswith("model.vision_tower")
        eps = m.config.vision_config.rms_norm_eps if vision else m.config.text_config.rms_norm_eps
        return change(m, part_of(m, w, name), x, eps)

    return compute


def root(x: Array, eps: float) -> Array:
    """Return the root mean square of each row."""
    return np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps)


NORM_MISTAKES: dict[str, tuple[Callable[[Reference, Weights, Array, float], Array], str, str]] = {
    "norm: epsilon 10 times as large": (lambda m, w, x, eps: x / root(x, 10 * eps) * w["weight"], "rms_norm_eps", ""),
    "norm: epsilon a tenth": (lambda m, w, x, eps: x / root(x, eps / 10) * w["weight"], "rms_norm_eps", ""),
    "norm: no epsilon": (lambda m, w, x, eps: x / root(x, 0.0) * w["weight"], "rms_norm_eps", ""),
    "norm: epsilon outside the root": (
        lambda m, w, x, eps: x / (root(x, 0.0) + eps) * w["weight"],
        "epsilon is added to the mean square, inside the root",
        "",
    ),
    "norm: weight missing": (lambda m, w, x, eps: x / root(x, eps), "the norm's weight", ""),
    "norm: 1 + weight": (
        lambda m, w, x, eps: x / root(x, eps) * (1 + w["weight"]),
        "the weight is not an offset from 1, as in Gemma",
        "",
    ),
    "norm: LayerNorm for RMSNorm": (
        lambda m, w, x, eps: (
            (x - x.mean(axis=-1, keepdims=True)) / root(x - x.mean(axis=-1, keepdims=True), eps) * w["weight"]
        ),
        "RMSNorm doesn't take the mean off",
        "",
    ),
    "norm: sum for mean of squares": (
        lambda m, w, x, eps: x / root(x * x.shape[-1] ** 0.5, eps) * w["weight"],
        "the mean of the squares, not their sum",
        "",
    ),
    "norm: missing": (lambda m, w, x, eps: x, "the norm before attention, before the feed-forward, and at the end", ""),
}


def quantised(weight: Array) -> Array:
    """Return a weight in 8 bits, in blocks of 32 with one float16 scale each (llama.cpp's Q8_0)."""
    flat = weight.reshape(-1)
    blocks = np.pad(flat, (0, -len(flat) % 32)).reshape(-1, 32)
    scale = np.abs(blocks).max(axis=1, keepdims=True) / 127
    whole = np.divide(blocks, scale, out=np.zeros_like(blocks), where=scale != 0)
    rounded = np.trunc(whole + np.copysign(0.5, whole))
    return (rounded * scale.astype(np.float16).astype(weight.dtype)).reshape(-1)[: len(flat)].reshape(weight.shape)


def product_with(name: str, change: Callable[[Array], Array], bias: bool = True) -> Callable[..., Array]:
    """Return the formula of the linear layer called `name` with a changed weight, or without its bias."""

    def compute(m: Reference, w: Weights, x: Array) -> Array:
        part = part_of(m, w, name)
        y = m.arithmetic.times(x, change(part["weight"]).T)
        return y + part["bias"] if bias and "bias" in part else y

    return compute


def square_transposed(weight: Array) -> Array:
    """Return the transpose of a square weight."""
    if weight.shape[0] != weight.shape[1]:
        raise ValueError("only a square weight can be taken for its transpose")
    return weight.T


def act(name: str) -> Callable[..., Array]:
    """Return the formula of SwiGLU with another activation."""
    return lambda m, w, gate, up: ACTIVATIONS[name](gate) * up


def hidden_act(m: Reference, w: Weights) -> Callable[[Array], Array]:
    """Return the activation that the configuration names."""
    vision = w.name.startswith("model.vision_tower")
    return ACTIVATIONS[m.config.vision_config.hidden_act if vision else m.config.text_config.hidden_act]


def head_dim(m: Reference, w: Weights) -> int:
    """Return the width of a head in the tower or the language model that the layer `w` is in."""
    config = m.config.vision_config if w.name.startswith("model.vision_tower") else m.config.text_config
    return config.head_dim


def hidden_size(m: Reference, w: Weights) -> int:
    """Return the width of the layer `w`."""
    config = m.config.vision_config if w.name.startswith("model.vision_tower") else m.config.text_config
    return config.hidden_size


def in_bfloat16(m: Reference, w: Weights, scores: Array) -> Array:
    """softmax with the scores and the exponentials rounded to bfloat16."""
    low = np.maximum(scores, -1e30).astype(bfloat16).astype(scores.dtype)
    e = np.exp(low - low.max(axis=-1, keepdims=True)).astype(bfloat16).astype(scores.dtype)
    return (e / e.sum(axis=-1, keepdims=True)).astype(bfloat16).astype(scores.dtype)


def _norms() -> Iterator[Cause]:
    for title, (change, look, thread) in NORM_MISTAKES.items():
        for name in NORMS:
            yield Cause(title, (f"*.{name}.output",), norm_with(name, change), look, thread)


def _products() -> Iterator[Cause]:
    for name in PRODUCTS:
        yield Cause(
            "weights: transposed",
            (f"*.{name}.output",),
            product_with(name, square_transposed),
            f"the layout of {name}.weight",
        )
        yield Cause(
            "weights: in 8 bits (Q8_0)",
            (f"*.{name}.output",),
            product_with(name, quantised),
            f"the type of {name}.weight",
        )
        yield Cause(
            "weights: rounded to bfloat16",
            (f"*.{name}.output",),
            product_with(name, lambda x: x.astype(bfloat16).astype(x.dtype)),
            f"the type of {name}.weight",
        )
        yield Cause(
            "weights: rounded to float16",
            (f"*.{name}.output",),
            product_with(name, lambda x: x.astype(np.float16).astype(x.dtype)),
            f"the type of {name}.weight",
        )
    for name in BIASED:
        yield Cause(
            "bias of q, k or v missing", (f"*.{name}.output",), product_with(name, lambda x: x, False), f"{name}.bias"
        )


LAYER_CAUSES: tuple[Cause, ...] = (
    *_norms(),
    *_products(),
    Cause("residual: attention's input not added", FIRST_SUM, lambda m, w, x, y: y, "x + attention(norm(x))"),
    Cause("residual: attention not added", FIRST_SUM, lambda m, w, x, y: x, "x + attention(norm(x))"),
    Cause("residual: feed-forward's input not added", SECOND_SUM, lambda m, w, x, y: y, "x + ffn(norm(x))"),
    Cause(
        "SwiGLU: gate and up swapped",
        GATED,
        lambda m, w, gate, up: hidden_act(m, w)(up) * gate,
        "the activation is the gate's",
    ),
    Cause("SwiGLU: activation missing", GATED, lambda m, w, gate, up: gate * up, "act(gate) * up"),
    Cause("SwiGLU: up missing", GATED, lambda m, w, gate, up: hidden_act(m, w)(gate), "act(gate) * up"),
    Cause(
        "SwiGLU: activation after the product",
        GATED,
        lambda m, w, gate, up: hidden_act(m, w)(gate * up),
        "act(gate) * up",
    ),
    Cause("SwiGLU: GELU", GATED, act("gelu"), "hidden_act is silu"),
    Cause("SwiGLU: GELU, tanh", GATED, act("gelu_pytorch_tanh"), "hidden_act is silu"),
    Cause("SwiGLU: quick GELU", GATED, act("quick_gelu"), "hidden_act is silu"),
    Cause("SwiGLU: ReLU", GATED, act("relu"), "hidden_act is silu"),
    Cause(
        "scores: scale missing",
        SCORES,
        lambda m, w, y, *_: y * head_dim(m, w) ** 0.5,
        "the factor head_dim^-1/2",
        of_result=True,
    ),
    Cause(
        "scores: scale of the hidden width",
        SCORES,
        lambda m, w, y, *_: y * (head_dim(m, w) / hidden_size(m, w)) ** 0.5,
        "the factor head_dim^-1/2: the width of a head, not of all",
        of_result=True,
    ),
    Cause(
        "scores: divided by head_dim, not its root",
        SCORES,
        lambda m, w, y, *_: y * head_dim(m, w) ** -0.5,
        "the factor head_dim^-1/2, on q or on the scores, not on both",
        of_result=True,
    ),
    Cause(
        "context: heads interleaved",
        CONTEXT,
        lambda m, w, y, *_: y.reshape(*y.shape[:-1], -1, head_dim(m, w)).swapaxes(-1, -2).reshape(y.shape),
        "the heads lie side by side: (tokens, heads, head_dim)",
        of_result=True,
    ),
    Cause(
        "context: heads not put back beside each other",
        CONTEXT,
        lambda m, w, y, *_: y.reshape(*y.shape[:-1], -1, head_dim(m, w)).swapaxes(1, 2).reshape(y.shape),
        "the transpose from (heads, tokens, head_dim) before the reshape",
        of_result=True,
    ),
    Cause("softmax: in bfloat16", WEIGHTS, in_bfloat16, "the type of the softmax: float32 in a 16-bit model"),
    Cause(
        "softmax: over queries, not keys",
        WEIGHTS,
        lambda m, w, x: m.arithmetic.softmax(np.maximum(x, -1e30).swapaxes(-1, -2)).swapaxes(-1, -2),
        "the axis of the softmax: the keys",
    ),
    Cause("softmax: missing", WEIGHTS, lambda m, w, x: np.maximum(x, 0), "softmax(scores)"),
)
