"""The visual tokenizer: features become visual tokens, distributions over a visual vocabulary, and these become embeddings.

features (n, P, D) -> merged (n, P/s^2, s^2 D) -> logits, normed -> visual tokens (n, P/s^2, words) -> embeddings (n, P/s^2, H)
(Lu et al., 2024, "Ovis: Structural Embedding Alignment for Multimodal Large Language Model", section 3)
"""

from math import isqrt

import numpy as np
from jaxtyping import Float, Int

from ovis2_ref.config import Ovis2VisionConfig
from ovis2_ref.convention import Convention
from ovis2_ref.errors import InputError
from ovis2_ref.files.checks import shown
from ovis2_ref.ops import layer_norm, linear, softmax
from ovis2_ref.runtime.arrays import Array, rounded, widened
from ovis2_ref.runtime.blocks import by_groups_of_rows
from ovis2_ref.runtime.products import matmul
from ovis2_ref.runtime.tape import differentiable
from ovis2_ref.runtime.weights import Weights


@differentiable
def merge_patches(
    features: Float[Array, "tiles patches hidden"], stride: int
) -> Float[Array, "tiles tokens merged_hidden"]:
    """Lay the features of each stride x stride square of patches side by side, in reading order inside and outside the square.

    A grid that the stride doesn't divide gets zeros at its right and bottom first, as in the authors' code. transformers 4.56 to
    5.x pads the wrong axes instead: it raises, or returns garbled features (2 tiles of 4 x 4 patches, stride 3).
    """
    if stride == 1:
        return features
    tiles, patches, hidden = features.shape
    side = isqrt(patches)
    merged_side = -(-side // stride)
    grid = np.zeros((tiles, merged_side * stride, merged_side * stride, hidden), features.dtype, like=features)
    grid[:, :side, :side] = features.reshape(tiles, side, side, hidden)
    squares = grid.reshape(tiles, merged_side, stride, merged_side, stride, hidden).transpose(0, 1, 3, 2, 4, 5)
    return squares.reshape(tiles, merged_side * merged_side, stride * stride * hidden)


@by_groups_of_rows
def visual_embeddings(
    merged: Float[Array, "*batch merged_hidden"],
    w: Weights,
    table: Weights,
    config: Ovis2VisionConfig,
    convention: Convention,
    noise: Float[Array, "*batch words"] | None = None,
) -> Float[Array, "*batch hidden"]:
    """Return the visual token of every merged feature as its embedding: sum_w token_w table_w."""
    tokens = visual_tokens(merged, w, config, convention, noise)
    return table.tap("output", embed_visual_tokens(tokens, table["weight"]))


def visual_tokens(
    merged: Float[Array, "*batch merged_hidden"],
    w: Weights,
    config: Ovis2VisionConfig,
    convention: Convention,
    noise: Float[Array, "*batch words"] | None = None,
) -> Float[Array, "*batch words"]:
    """Return a distribution over the visual words for every feature: softmax, st_argmax or gumbel_argmax of norm(W merged).

    The words are the visual vocabulary without its indicators, whose probability is always 0. `noise` is for gumbel_argmax alone:
    standard Gumbel noise (`gumbel_noise` draws it). Raises `InputError` for noise of another shape.
    """
    logits = layer_norm(linear(w.tap("merged", merged), w / "head_linear"), w / "head_norm")
    if config.tokenize_function == "softmax":
        tokens = softmax(logits)
    elif config.tokenize_function == "st_argmax":
        tokens = straight_through(logits if convention.argmax_of_logits else softmax(logits))
    elif getattr(noise, "shape", None) != logits.shape:
        raise InputError(
            f"gumbel_argmax needs noise of the shape {logits.shape}, as gumbel_noise draws it, not {shown(noise)}"
        )
    else:
        tau = config.tau if convention.gumbel_tau else 1.0
        tokens = straight_through(softmax(rounded(widened(logits + noise) / tau, logits.dtype)))
    return w.tap("tokens", tokens)


@differentiable
def straight_through(soft: Float[Array, "*batch words"]) -> Float[Array, "*batch words"]:
    """(one-hot(argmax soft) - soft) + soft: a hard choice whose gradient is that of `soft` (Bengio et al., 2013).

    The sum is computed in the order that both programs use. It equals the one-hot, except where the largest soft value is
    negative (logits can be): there 1 - soft is rounded.
    """
    chosen = soft.argmax(axis=-1)[..., None]
    hard = (np.arange(soft.shape[-1], like=soft) == chosen).astype(soft.dtype)
    return hard - soft + soft


def gumbel_noise(shape: tuple[int, ...], seed: int) -> Float[np.ndarray, "*shape"]:
    """Return standard Gumbel noise -log(E), E exponential (Jang et al., 2017, section 2).

    NumPy's default generator draws it on the host in float64, so that a seed means the same on every device, in every dtype.
    """
    return -np.log(np.random.default_rng(seed).standard_exponential(shape))


@differentiable
def embed_visual_tokens(
    tokens: Float[Array, "*batch words"] | Int[Array, "*batch"], table: Float[Array, "vocabulary hidden"]
) -> Float[Array, "*batch hidden"]:
    """Return the expected row of the table, sum_w tokens_w table_w; for whole numbers, the row of that number.

    Both programs append zeros for the indicators to the tokens and multiply these too, which changes no sum.
    """
    if tokens.dtype.kind in "iu":
        return table[tokens]
    embeddings = matmul(tokens.reshape(-1, tokens.shape[-1]), table[: tokens.shape[-1]])
    return embeddings.reshape(*tokens.shape[:-1], table.shape[-1])


def indicator_embeddings(
    table: Float[Array, "vocabulary hidden"], config: Ovis2VisionConfig
) -> Float[Array, "indicators hidden"]:
    """Return the last rows of the table, one for each indicator (start of picture, grid, column, row, end of picture)."""
    return table[config.vocab_size - config.num_visual_indicator_tokens :]
