"""The visual tokenizer: features become visual tokens, distributions over a visual vocabulary, and these become embeddings.

features (n, P, D) -> merged (n, P/s^2, s^2 D) -> logits, normed -> visual tokens (n, P/s^2, words) -> embeddings (n, P/s^2, H)
(Lu et al., 2024, "Ovis: Structural Embedding Alignment for Multimodal Large Language Model", section 3)
"""

from math import isqrt

import numpy as np
from jaxtyping import Float, Int

from ovis2_ref.config import Ovis2VisionConfig
from ovis2_ref.convention import Convention
from ovis2_ref.ops import Weights, layer_norm, linear, matmul, softmax
from ovis2_ref.runtime.arrays import Array, array_module, widened
from ovis2_ref.runtime.taps import tap


def merge_patches(
    features: Float[Array, "tiles patches hidden"], stride: int
) -> Float[Array, "tiles tokens merged_hidden"]:
    """The features of each stride x stride square of patches side by side, in reading order inside and outside the square.

    A grid that the stride doesn't divide gets zeros at its right and bottom first, as in the authors' code. transformers 4.56 to
    5.x means to do so too, but pads the wrong axes: it raises, except by chance (2 tiles of 4 x 4 patches, stride 3: garbled).
    """
    if stride == 1:
        return features
    xp = array_module(features)
    tiles, patches, hidden = features.shape
    side = isqrt(patches)
    merged_side = -(-side // stride)
    grid = xp.zeros((tiles, merged_side * stride, merged_side * stride, hidden), dtype=features.dtype)
    grid[:, :side, :side] = features.reshape(tiles, side, side, hidden)
    squares = grid.reshape(tiles, merged_side, stride, merged_side, stride, hidden).transpose(0, 1, 3, 2, 4, 5)
    return squares.reshape(tiles, merged_side * merged_side, stride * stride * hidden)


def visual_tokens(
    merged: Float[Array, "tiles tokens merged_hidden"],
    weights: Weights,
    name: str,
    config: Ovis2VisionConfig,
    convention: Convention,
    noise: Float[Array, "tiles tokens words"] | int = 0,
) -> Float[Array, "tiles tokens words"]:
    """A distribution over the visual words for every token: softmax, st_argmax or gumbel_argmax of norm(W merged).

    The words are the visual vocabulary without its indicators, whose probability is 0 always. `noise` is for gumbel_argmax
    alone: standard Gumbel noise, or the seed of a NumPy generator that draws it.
    """
    tap(f"{name}.merged", merged)
    logits = linear(merged, weights[f"{name}.head_linear.weight"])
    tap(f"{name}.head_linear.output", logits)
    logits = layer_norm(logits, weights[f"{name}.head_norm.weight"], weights[f"{name}.head_norm.bias"])
    tap(f"{name}.head_norm.output", logits)
    if config.tokenize_function == "softmax":
        tokens = softmax(logits)
    elif config.tokenize_function == "st_argmax":
        tokens = straight_through(logits if convention.argmax_of_logits else softmax(logits))
    else:
        if isinstance(noise, int):
            noise = gumbel_noise(logits, noise)
        tau = config.tau if convention.gumbel_tau else 1.0
        noisy = widened(logits + noise) / tau
        tokens = straight_through(softmax(noisy.astype(logits.dtype, copy=False)))
    tap(f"{name}.tokens", tokens)
    return tokens


def straight_through(soft: Float[Array, "*batch words"]) -> Float[Array, "*batch words"]:
    """(one-hot(argmax soft) - soft) + soft: a hard choice whose gradient is that of `soft` (Bengio et al., 2013).

    The sum is computed as both programs write it. It is the one-hot itself where the largest soft value isn't negative; where it
    is, as logits can be, 1 - soft is rounded.
    """
    xp = array_module(soft)
    chosen = soft.argmax(axis=-1)[..., None]
    hard = (xp.arange(soft.shape[-1]) == chosen).astype(soft.dtype)
    return hard - soft + soft


def gumbel_noise(logits: Float[Array, "*shape"], seed: int) -> Float[Array, "*shape"]:
    """Standard Gumbel noise -log(E), E exponential, for every logit (Jang et al., 2017, section 2).

    Drawn by NumPy's default generator on the host in float64, so that a seed means the same on every device, in every dtype.
    """
    noise = -np.log(np.random.default_rng(seed).standard_exponential(logits.shape))
    return array_module(logits).asarray(noise.astype(logits.dtype))


def embed_visual_tokens(
    tokens: Float[Array, "tiles tokens words"] | Int[Array, "tiles tokens"], table: Float[Array, "vocabulary hidden"]
) -> Float[Array, "tiles tokens hidden"]:
    """The expected row of the table, sum_w tokens_w table_w; for whole numbers, the row of that number.

    Both programs append zeros for the indicators to the tokens, and multiply them too: adding 0 changes nothing.
    """
    if tokens.dtype.kind in "iu":
        return table[tokens]
    embeddings = matmul(tokens.reshape(-1, tokens.shape[-1]), table[: tokens.shape[-1]])
    return embeddings.reshape(*tokens.shape[:-1], table.shape[-1])


def indicator_embeddings(
    table: Float[Array, "vocabulary hidden"], config: Ovis2VisionConfig
) -> Float[Array, "indicators hidden"]:
    """The last rows of the table, one for each indicator (start of picture, grid, column, row, end of picture)."""
    return table[config.vocab_size - config.num_visual_indicator_tokens :]
