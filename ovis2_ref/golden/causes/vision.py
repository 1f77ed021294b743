"""Mistakes in the vision transformer and in the visual tokenizer."""

from collections.abc import Callable
from math import isqrt

import numpy as np

from ovis2_ref.golden.causes import Cause
from ovis2_ref.golden.stages import Reference
from ovis2_ref.runtime.arrays import Array
from ovis2_ref.runtime.weights import Weights
from ovis2_ref.vision.encoder import patches_of
from ovis2_ref.vision.visual_tokenizer import merge_patches

PATCHES, POSITIONS = ("*.patch_embedding.output",), ("*.embeddings.output",)
MERGED, TOKENS, HEAD_NORM = ("*.vision_tower.merged",), ("*.vision_tower.tokens",), ("*.head_norm.output",)
LLAMA_OVIS = "https://github.com/ggml-org/llama.cpp/issues/14552"


def patches_times(m: Reference, w: Weights, pixels: Array, order: tuple[int, ...]) -> Array:
    """Return the patch embedding, the axes of a patch (channel, row, column) in another order than in the kernel."""
    part = w / "patch_embedding"
    channels, patch = part["weight"].shape[1:3]
    patches = patches_of(pixels.astype(m.dtype), patch)
    shape = patches.shape[:2]
    turned = patches.reshape(*shape, channels, patch, patch).transpose(0, 1, *(axis + 2 for axis in order))
    return m.arithmetic.linear(turned.reshape(*shape, -1), part)


def patches_column_by_column(m: Reference, w: Weights, pixels: Array) -> Array:
    """Return the patch embedding, patches counted down the columns."""
    part = w / "patch_embedding"
    patches = patches_of(pixels.astype(m.dtype), part["weight"].shape[-1])
    side = isqrt(patches.shape[1])
    turned = patches.reshape(len(patches), side, side, -1).swapaxes(1, 2).reshape(patches.shape)
    return m.arithmetic.linear(turned, part)


def without_patch_bias(m: Reference, w: Weights, pixels: Array) -> Array:
    """Return the patch embedding without its bias."""
    kernel = (w / "patch_embedding")["weight"]
    patches = patches_of(pixels.astype(m.dtype), kernel.shape[-1])
    return m.arithmetic.times(patches, kernel.reshape(len(kernel), -1).T)


def positions_shifted(by: int) -> Callable[..., Array]:
    """Return the sum of patches and position embeddings from another row on, as if the first were a class token's."""
    return lambda m, w, x: x + np.roll((w / "position_embedding")["weight"], by, axis=0)


def positions_transposed(m: Reference, w: Weights, x: Array) -> Array:
    """Add the position embeddings of a transposed grid."""
    table = (w / "position_embedding")["weight"]
    side = isqrt(len(table))
    return x + table.reshape(side, side, -1).swapaxes(0, 1).reshape(table.shape)


def positions_before_norm(m: Reference, w: Weights, patches: Array) -> Array:
    """norm(patches + positions)."""
    x = patches + (w / "position_embedding")["weight"]
    return m.arithmetic.rms_norm(x, w / "rms_norm", m.config.vision_config.rms_norm_eps)


def merged_as(x: Array, stride: int, order: tuple[int, ...]) -> Array:
    """Return the squares of `merge_patches` with their axes (row, column, hidden) in another order."""
    tiles, patches, hidden = x.shape
    side = isqrt(patches)
    squares = merge_patches(x, stride).reshape(tiles, (side + stride - 1) // stride, -1, stride, stride, hidden)
    turned = squares.transpose(0, 1, 2, *(axis + 3 for axis in order))
    return turned.reshape(tiles, -1, stride * stride * hidden)


def merged_in_a_row(m: Reference, w: Weights, x: Array) -> Array:
    """Merge stride^2 patches that follow each other, in place of a square."""
    stride = m.config.vision_config.hidden_stride
    return x.reshape(len(x), -1, stride * stride * x.shape[-1])


def layer_norm_without(m: Reference, w: Weights, x: Array, part: str) -> Array:
    """Return the visual head's LayerNorm without its weight, its bias, or its mean."""
    eps, norm = 1e-5, w / "head_norm"
    centred = x if part == "mean" else x - x.mean(axis=-1, keepdims=True)
    y = centred / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + eps)
    y = y if part == "weight" else y * norm["weight"]
    return y if part == "bias" else y + norm["bias"]


def layer_norm_eps(m: Reference, w: Weights, x: Array, eps: float) -> Array:
    """Return the visual head's LayerNorm with another epsilon."""
    norm = w / "head_norm"
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + eps) * norm["weight"] + norm["bias"]


def one_hot(m: Reference, w: Weights, x: Array) -> Array:
    """1 for the word with the highest score."""
    return (np.arange(x.shape[-1]) == x.argmax(axis=-1)[..., None]).astype(x.dtype)


def table_from(first: int) -> Callable[..., Array]:
    """Return the formula of the visual embeddings from the rows of the table from `first` on."""
    return lambda m, w, p: m.arithmetic.times(p, np.roll(w["weight"], -first, axis=0)[: p.shape[-1]])


VISION_CAUSES: tuple[Cause, ...] = (
    Cause(
        "patch: kernel read as (rows, columns, channels)",
        PATCHES,
        lambda m, w, x: patches_times(m, w, x, (1, 2, 0)),
        "the layout of the patch embedding's kernel: (hidden, channels, rows, columns)",
        LLAMA_OVIS,
    ),
    Cause(
        "patch: rows and columns swapped",
        PATCHES,
        lambda m, w, x: patches_times(m, w, x, (0, 2, 1)),
        "the order of a patch's pixels",
    ),
    Cause(
        "patch: patches counted down the columns", PATCHES, patches_column_by_column, "the order of patches: row by row"
    ),
    Cause("patch: bias missing", PATCHES, without_patch_bias, "patch_embedding.bias"),
    Cause(
        "positions: shifted by one",
        POSITIONS,
        positions_shifted(-1),
        "AIMv2 has no class token: patch 0 has position 0",
    ),
    Cause(
        "positions: shifted by one, late", POSITIONS, positions_shifted(1), "patch 0 has position 0, not the last one"
    ),
    Cause("positions: grid transposed", POSITIONS, positions_transposed, "positions are counted row by row"),
    Cause("positions: not added", POSITIONS, lambda m, w, x: x, "embeddings.position_embedding.weight"),
    *(
        Cause("positions: added before the norm", taps, compute, "norm(patches), then the positions")
        for taps, compute in (
            (("*.embeddings.rms_norm.output",), positions_before_norm),
            (POSITIONS, lambda m, w, x: x),
        )
    ),
    Cause(
        "merge: columns before rows inside a square",
        MERGED,
        lambda m, w, x: merged_as(x, m.config.vision_config.hidden_stride, (1, 0, 2)),
        "the four patches of a square lie in reading order: (0, 0), (0, 1), (1, 0), (1, 1)",
    ),
    Cause(
        "merge: hidden before patches inside a square",
        MERGED,
        lambda m, w, x: merged_as(x, m.config.vision_config.hidden_stride, (2, 0, 1)),
        "each patch's numbers stay together",
    ),
    Cause("merge: patches in a row, not in squares", MERGED, merged_in_a_row, "stride x stride neighbours are merged"),
    Cause(
        "visual head: rows after the indicators'",
        ("*.vision_tower.head_linear.output",),
        lambda m, w, y, *_: np.roll(y, m.config.vision_config.num_visual_indicator_tokens, axis=-1),
        "the first visual word is row 0 of head_linear; the indicators have no row there",
        of_result=True,
    ),
    Cause(
        "visual head: LayerNorm without bias",
        HEAD_NORM,
        lambda m, w, x: layer_norm_without(m, w, x, "bias"),
        "head_norm.bias",
    ),
    Cause(
        "visual head: LayerNorm without weight",
        HEAD_NORM,
        lambda m, w, x: layer_norm_without(m, w, x, "weight"),
        "head_norm.weight",
    ),
    Cause(
        "visual head: RMSNorm for LayerNorm",
        HEAD_NORM,
        lambda m, w, x: layer_norm_without(m, w, x, "mean"),
        "the mean is taken off",
    ),
    Cause("visual head: norm missing", HEAD_NORM, lambda m, w, x: x, "head_norm between head_linear and softmax"),
    Cause(
        "visual head: epsilon 1e-6",
        HEAD_NORM,
        lambda m, w, x: layer_norm_eps(m, w, x, 1e-6),
        "torch.nn.LayerNorm's 1e-5",
    ),
    Cause("visual tokens: argmax for softmax", TOKENS, one_hot, "tokenize_function in the configuration"),
    Cause("visual tokens: softmax missing", TOKENS, lambda m, w, x: x, "tokenize_function in the configuration"),
    Cause(
        "visual tokens: softmax over tokens, not words",
        TOKENS,
        lambda m, w, x: m.arithmetic.softmax(x.swapaxes(-1, -2)).swapaxes(-1, -2),
        "the axis of the softmax: the visual vocabulary",
    ),
    Cause(
        "visual tokens: temperature 2",
        TOKENS,
        lambda m, w, x: m.arithmetic.softmax(x / 2),
        "softmax has no temperature",
    ),
    Cause("visual tokens: sigmoid for softmax", TOKENS, lambda m, w, x: 1 / (1 + np.exp(-x)), "tokenize_function"),
    Cause(
        "visual table: indicators' rows first",
        ("model.visual_embeddings_table.output",),
        table_from(5),
        "the indicators are the last rows of the visual table, not the first",
    ),
)
