"""Backward formulas of the visual tokenizer."""

from math import isqrt

import numpy as np
from jaxtyping import Float, Int

from ovis2_ref.gradients.language import rows_summed
from ovis2_ref.gradients.ops import rows_of
from ovis2_ref.runtime.arrays import Array
from ovis2_ref.runtime.products import matmul
from ovis2_ref.runtime.tape import backward_of
from ovis2_ref.vision.visual_tokenizer import embed_visual_tokens, merge_patches, straight_through


@backward_of(merge_patches)
def merge_patches_backward(
    dy: Float[Array, "tiles tokens merged_hidden"], features: Float[Array, "tiles patches hidden"], stride: int
) -> Float[Array, "tiles patches hidden"]:
    """dfeatures = dy cut into the patches that were laid side by side, without those that were padding."""
    (tiles, patches, hidden), tokens = features.shape, dy.shape[1]
    side, merged_side = isqrt(patches), isqrt(tokens)
    squares = dy.reshape(tiles, merged_side, merged_side, stride, stride, hidden).transpose(0, 1, 3, 2, 4, 5)
    grid = squares.reshape(tiles, merged_side * stride, merged_side * stride, hidden)
    return grid[:, :side, :side].reshape(features.shape)


@backward_of(straight_through)
def straight_through_backward(
    dy: Float[Array, "*batch words"], soft: Float[Array, "*batch words"]
) -> Float[Array, "*batch words"]:
    """dsoft = dy: the hard choice has the gradient of the soft one."""
    return dy


@backward_of(embed_visual_tokens)
def embed_visual_tokens_backward(
    dy: Float[Array, "*batch hidden"],
    tokens: Float[Array, "*batch words"] | Int[Array, "*batch"],
    table: Float[Array, "vocabulary hidden"],
) -> tuple[Float[Array, "*batch words"] | None, Float[Array, "vocabulary hidden"]]:
    """dtokens = dy table^T, dtable = tokens^T dy; the rows of whole numbers are summed where these stand."""
    if tokens.dtype.kind in "iu":
        return None, rows_summed(rows_of(dy), tokens.reshape(-1), len(table))
    dtable, words = np.zeros_like(table), tokens.shape[-1]
    dtable[:words] = matmul(rows_of(tokens).T, rows_of(dy))
    return matmul(rows_of(dy), table[:words].T).reshape(tokens.shape), dtable
