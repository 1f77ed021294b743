"""Mistakes in which weight goes where, and further ones of a layer: names, rows, types, residuals, frequencies."""

import re
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from ml_dtypes import bfloat16, float8_e4m3fn

from ovis2_ref.golden.causes import Cause
from ovis2_ref.golden.causes.layers import NORMS, PRODUCTS, WEIGHTS, norm_with, part_of, product_with, quantised, root
from ovis2_ref.golden.stages import Reference
from ovis2_ref.runtime.arrays import Array, sum_dtype
from ovis2_ref.runtime.weights import Weights

TABLES = ("*.rotary_emb.cos", "*.rotary_emb.sin")
SECOND_SUM = ("*.encoder.layers.*.output", "*.language_model.layers.*.output")
SWAPPED = (
    ("q", "k", "weights: q's and k's exchanged"),
    ("k", "v", "weights: k's and v's exchanged"),
    ("gate", "up", "weights: gate's and up's exchanged"),
)
NORM_PAIRS = (("rms_norm1", "rms_norm2"), ("input_layernorm", "post_attention_layernorm"))


def product_of(name: str) -> Callable[..., Array]:
    """Return the formula of a linear layer with the weights of the one called `name`."""
    return lambda m, w, x: m.arithmetic.linear(x, part_of(m, w, name))


def in_layer_before(weights: Mapping[str, Array], name: str) -> Array:
    """Return the weight that the layer before has in the place of the one called `name`; the first layer has its own."""
    before = re.sub(r"(?<=\.layers\.)\d+(?=\.)", lambda number: str(max(int(number[0]) - 1, 0)), name)
    return weights[before]


def all_in_bfloat16(weights: Mapping[str, Array], name: str) -> Array:
    """Return a weight rounded to bfloat16."""
    return weights[name].astype(bfloat16).astype(weights[name].dtype)


def matrices_in_8_bits(weights: Mapping[str, Array], name: str) -> Array:
    """Return a weight in 8 bits, if it is a matrix: norms and biases stay, as in llama.cpp."""
    weight = weights[name]
    return quantised(weight) if weight.ndim == 2 else weight


def in_blocks(weight: Array, bits: int) -> Array:
    """Return a weight of so many bits in blocks of 32, each with its largest number as its scale (llama.cpp's Q4_0)."""
    flat = weight.reshape(-1)
    blocks = np.pad(flat, (0, -len(flat) % 32)).reshape(-1, 32)
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1)[:, None], axis=1)
    half = 2 ** (bits - 1)
    scale = largest / -half
    levels = np.divide(blocks, scale, out=np.zeros_like(blocks), where=scale != 0)
    whole = np.clip(np.trunc(levels + half + 0.5), 0, 2 * half - 1) - half
    return (whole * scale.astype(np.float16).astype(weight.dtype)).reshape(-1)[: len(flat)].reshape(weight.shape)


def by_rows(weight: Array) -> Array:
    """Return a weight in 8 bits with one scale for each row."""
    scale = np.abs(weight).max(axis=1, keepdims=True) / 127
    return np.round(weight / scale) * scale


def in_pairs(m: Reference, w: Weights, x: Array, name: str, heads: int) -> Array:
    """Return q or k with the rows of each head in llama.cpp's order for rotary positions of neighbours."""
    part = part_of(m, w, name)
    y = m.arithmetic.linear(x, part)
    return y.reshape(*y.shape[:-1], heads, 2, -1).swapaxes(-1, -2).reshape(y.shape)


def frequencies(m: Reference, positions: Array, exponents: Array, index: int) -> Array:
    """Return the table of cosines (index 0) or sines (1) of positions times base^-exponent, a float32 number in every program.

    The product is rounded as in the model, which makes its tables in float32 at least.
    """
    base = float(m.config.text_config.rope_parameters["rope_theta"])
    dtype = sum_dtype(m.dtype)
    angles = positions[..., None].astype(dtype) * (base**-exponents).astype(np.float32).astype(dtype)
    return (np.cos, np.sin)[index](angles).astype(m.dtype)


def half_count(m: Reference) -> Array:
    """Return 0, 1, ... for the pairs of a head."""
    return np.arange(m.config.text_config.head_dim // 2)


FREQUENCIES: dict[str, tuple[Callable[[Reference], Array], str]] = {
    "rotary: exponent i, not 2 i": (
        lambda m: half_count(m) / m.config.text_config.head_dim,
        "frequency i is base^(-2 i / head_dim)",
    ),
    "rotary: frequencies of the hidden width": (
        lambda m: 2 * half_count(m) / m.config.text_config.hidden_size,
        "frequency i is base^(-2 i / head_dim): the width of a head, not of all",
    ),
    "rotary: frequencies from i = 1": (
        lambda m: 2 * (half_count(m) + 1) / m.config.text_config.head_dim,
        "frequency i is base^(-2 i / head_dim), i from 0",
    ),
}


def _loaded() -> Iterator[Cause]:
    for first, second, title in SWAPPED:
        for name, other in ((first, second), (second, first)):
            yield Cause(
                title, (f"*.{name}_proj.output",), product_of(f"{other}_proj"), f"the names of {name}_proj's weights"
            )
    for name in PRODUCTS:
        taps = (f"*.{name}.output",)
        if name != "head_linear":
            look = f"the number of the layer in {name}'s name"
            yield Cause(
                "weights: of the layer before", (f"*.layers.*.{name}.output",), None, look, weights=in_layer_before
            )
        for title, change in (
            ("weights: in 4 bits (Q4_0)", lambda weight: in_blocks(weight, 4)),
            ("weights: in 8 bits, a scale for each row", by_rows),
            ("weights: in float8", lambda weight: weight.astype(float8_e4m3fn).astype(weight.dtype)),
        ):
            yield Cause(title, taps, product_with(name, change), f"the type of {name}.weight")
    for pair in NORM_PAIRS:
        for name, other in (pair, pair[::-1]):
            yield Cause(
                "norm: weight of the layer's other norm",
                (f"*.{name}.output",),
                norm_with(other, lambda m, w, x, eps: x / root(x, eps) * w["weight"]),
                f"the name of {name}'s weight",
            )


IN_LAYERS = tuple(f"*.layers.*.{name}.output" for name in (*PRODUCTS, *NORMS))
WITH_WEIGHTS = (*(f"*.{name}.output" for name in (*PRODUCTS, *NORMS)), "*.patch_embedding.output", "*.head_norm.output")
ENDS = ("*.embeddings.output", "*.embed_tokens.output", "*_table.output", "*.inputs_embeds", "lm_head.output")

LOADING_CAUSES: tuple[Cause, ...] = (
    *_loaded(),
    Cause(
        "weights: a whole layer of the layer before",
        IN_LAYERS,
        None,
        "the number of the layer in the names of its weights, norms too",
        weights=in_layer_before,
    ),
    Cause(
        "weights: all rounded to bfloat16, norms, biases and tables too",
        (*WITH_WEIGHTS, *ENDS),
        None,
        "the type that the checkpoint was converted to",
        weights=all_in_bfloat16,
    ),
    Cause(
        "weights: all matrices in 8 bits (Q8_0), head and tables too",
        (*WITH_WEIGHTS, *ENDS),
        None,
        "the type that the checkpoint was converted to",
        weights=matrices_in_8_bits,
    ),
    *(
        Cause(
            "weights: rows of q and k in the order of neighbouring pairs",
            (f"*.self_attn.{name}.output",),
            lambda m, w, x, name=name, heads=heads: in_pairs(m, w, x, name, getattr(m.config.text_config, heads)),
            "llama.cpp's conversion permutes q and k for Llama; Qwen2's stay as they are",
        )
        for name, heads in (("q_proj", "num_attention_heads"), ("k_proj", "num_key_value_heads"))
    ),
    *(
        Cause(
            title,
            (tap,),
            lambda m, w, positions, of=of, index=index: frequencies(m, positions, of(m), index),
            look,
        )
        for title, (of, look) in FREQUENCIES.items()
        for index, tap in enumerate(TABLES)
    ),
    *(
        Cause(
            "residual: taken after the norm",
            (f"*.{tower}.*.after_attention",),
            lambda m, w, x, y: x + y,
            "x + attention(norm(x)), not norm(x) + attention(norm(x))",
            inputs=inputs,
        )
        for tower, inputs in (
            ("encoder", ("rms_norm1.output", "attention.out_proj.output")),
            ("language_model", ("input_layernorm.output", "self_attn.o_proj.output")),
        )
    ),
    Cause("residual: feed-forward not added", SECOND_SUM, lambda m, w, x, y: x, "x + ffn(norm(x))"),
    Cause(
        "softmax: a power of 2, not of e",
        WEIGHTS,
        lambda m, w, x: m.arithmetic.softmax(np.maximum(x, -1e30) * float(np.log(2))),
        "exp2 needs scores times log2(e)",
    ),
    Cause(
        "softmax: 1 added to the sum",
        WEIGHTS,
        lambda m, w, x: (
            np.exp(x - x.max(-1, keepdims=True))
            / (np.exp(-x.max(-1, keepdims=True)) + np.exp(x - x.max(-1, keepdims=True)).sum(-1, keepdims=True))
        ),
        "softmax(scores), without a zero among them",
    ),
    Cause(
        "visual mask: causal",
        ("*.attention.scores",),
        lambda m, w, y, *_: np.where(np.tri(y.shape[-1], dtype=bool), y, -np.inf),
        "in the vision transformer every patch sees every patch",
        of_result=True,
    ),
    Cause(
        "visual tokens: columns of zeros in the softmax",
        ("*.vision_tower.tokens",),
        lambda m, w, x: m.arithmetic.softmax(np.pad(x, ((0, 0), (0, 0), (0, 5))))[..., : x.shape[-1]],
        "the head's columns are padded, or the indicators' counted, after the softmax",
        "https://github.com/vllm-project/vllm/pull/15826",
    ),
)
