"""The vision side, value by value: tiles -> ViT blocks -> merged features -> visual tokens -> visual embeddings."""

from collections.abc import Callable, Iterator
from functools import reduce
from operator import truediv

from ovis2_ref.activations import ACTIVATIONS
from ovis2_ref.checkpoint.names import VISION
from ovis2_ref.config import Ovis2Config
from ovis2_ref.convention import Convention
from ovis2_ref.golden.stages import TABLE, VIT, Formula, Reference, Stage, spelled_out
from ovis2_ref.ops import gated, merge_heads, scale, split_heads
from ovis2_ref.runtime.arrays import Array
from ovis2_ref.runtime.weights import Weights
from ovis2_ref.vision.encoder import patches_of
from ovis2_ref.vision.visual_tokenizer import merge_patches, straight_through


def embed_patches(m: Reference, w: Weights, pixels: Array) -> Array:
    """W patch + b."""
    part = w / "patch_embedding"
    return m.arithmetic.linear(patches_of(pixels.astype(m.dtype), part["weight"].shape[-1]), part)


def attention_scores(m: Reference, w: Weights, q: Array, k: Array) -> Array:
    """q k^T / sqrt(head_dim), for each head."""
    vision = m.config.vision_config
    q, k = split_heads(q, vision.head_dim), split_heads(k, vision.head_dim)
    return scale(m.arithmetic.matmul(q, k.swapaxes(-1, -2)), vision.head_dim**-0.5)


def attention_context(m: Reference, w: Weights, p: Array, v: Array) -> Array:
    """Multiply the attention weights by the values, heads side by side."""
    return merge_heads(m.arithmetic.matmul(p, split_heads(v, m.config.vision_config.head_dim)))


def choose_words(m: Reference, w: Weights, logits: Array) -> Array:
    """Return the distribution over the visual words."""
    vision = m.config.vision_config
    if vision.tokenize_function == "softmax":
        return m.arithmetic.softmax(logits)
    if vision.tokenize_function == "st_argmax":
        return straight_through(logits if m.convention.argmax_of_logits else m.arithmetic.softmax(logits))
    raise NotImplementedError("gumbel_argmax draws noise; its tokens can't be computed again from their logits")


def rms_norm(name: str) -> Callable[..., Array]:
    """Return the formula of the norm of that name, with the vision side's epsilon."""
    return lambda m, w, x: m.arithmetic.rms_norm(x, w / name, m.config.vision_config.rms_norm_eps)


def product(*path: str) -> Callable[..., Array]:
    """Return the formula of the linear layer at that place inside its part: W x, and + b where there is one."""
    return lambda m, w, x: m.arithmetic.linear(x, reduce(truediv, path, w))


EMBEDDINGS = (
    Formula("patch_embedding.output", ("/pixel_values",), embed_patches),
    Formula("rms_norm.output", ("patch_embedding.output",), rms_norm("rms_norm")),
    Formula("output", ("rms_norm.output",), lambda m, w, x: x + w["position_embedding.weight"]),
)
LAYER = (
    Formula("rms_norm1.output", ("input",), rms_norm("rms_norm1")),
    Formula(
        "attention.q_proj.output",
        ("rms_norm1.output",),
        product("attention", "q_proj"),
    ),
    Formula(
        "attention.k_proj.output",
        ("rms_norm1.output",),
        product("attention", "k_proj"),
    ),
    Formula(
        "attention.v_proj.output",
        ("rms_norm1.output",),
        product("attention", "v_proj"),
    ),
    Formula("attention.scores", ("attention.q_proj.output", "attention.k_proj.output"), attention_scores),
    Formula("attention.weights", ("attention.scores",), lambda m, w, x: m.arithmetic.softmax(x)),
    Formula("attention.context", ("attention.weights", "attention.v_proj.output"), attention_context),
    Formula(
        "attention.out_proj.output",
        ("attention.context",),
        product("attention", "out_proj"),
    ),
    Formula("after_attention", ("input", "attention.out_proj.output"), lambda m, w, x, y: x + y),
    Formula("rms_norm2.output", ("after_attention",), rms_norm("rms_norm2")),
    Formula("ffn.gate_proj.output", ("rms_norm2.output",), product("ffn", "gate_proj")),
    Formula("ffn.up_proj.output", ("rms_norm2.output",), product("ffn", "up_proj")),
    Formula(
        "ffn.activated",
        ("ffn.gate_proj.output", "ffn.up_proj.output"),
        lambda m, w, gate, up: gated(gate, up, ACTIVATIONS[m.config.vision_config.hidden_act]),
    ),
    Formula("ffn.down_proj.output", ("ffn.activated",), product("ffn", "down_proj")),
    Formula("output", ("after_attention", "ffn.down_proj.output"), lambda m, w, x, y: x + y),
)
FINAL_NORM = (Formula("rms_norm.output", ("input",), rms_norm("rms_norm")),)
TOKENS = (
    Formula("merged", ("features",), lambda m, w, x: merge_patches(x, m.config.vision_config.hidden_stride)),
    Formula("head_linear.output", ("merged",), product("head_linear")),
    Formula("head_norm.output", ("head_linear.output",), lambda m, w, x: m.arithmetic.layer_norm(x, w / "head_norm")),
    Formula("tokens", ("head_norm.output",), choose_words),
)
VISUAL_EMBEDDINGS = (Formula("output", ("tokens",), lambda m, w, p: m.arithmetic.times(p, w["weight"][: p.shape[-1]])),)


def vision_stages(config: Ovis2Config, convention: Convention) -> Iterator[Stage]:
    """Yield the stages from `pixel_values` to the visual embeddings."""
    yield from spelled_out(EMBEDDINGS, f"{VIT}.embeddings")
    x = f"{VIT}.embeddings.output"
    for i in range(config.vision_config.num_hidden_layers):
        part = f"{VIT}.encoder.layers.{i}"
        yield from spelled_out(LAYER, part, aliases={"input": x})
        x = f"{part}.output"
    if convention.vision_final_norm:
        yield from spelled_out(FINAL_NORM, VIT, aliases={"input": x})
        x = f"{VIT}.rms_norm.output"
    yield from spelled_out(TOKENS, VISION, aliases={"features": x})
    yield from spelled_out(VISUAL_EMBEDDINGS, TABLE, aliases={"tokens": f"{VISION}.tokens"})
