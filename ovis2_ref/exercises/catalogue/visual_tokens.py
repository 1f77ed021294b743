"""Visual tokens.

Where text has one word of a vocabulary, Ovis has a distribution over a visual vocabulary: a linear head gives every row of
features (of 2 x 2 neighbouring patches) a logit for each visual word, LayerNorm standardises the logits, and a softmax
makes a distribution of them (Lu et al., 2024, section 3).

    softmax(LayerNorm(W x)),    LayerNorm(z) = w (z - mean) / sqrt(var + 1e-5) + b
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from ovis2_ref import ops
from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong
from ovis2_ref.vision import visual_tokenizer


def visual_tokens(
    merged: Float[np.ndarray, "tiles tokens features"],
    head: Float[np.ndarray, "words features"],
    norm_weight: Float[np.ndarray, " words"],
    norm_bias: Float[np.ndarray, " words"],
) -> Float[np.ndarray, "tiles tokens words"]:
    """Return the distribution of every visual token over the visual words."""
    logits = merged @ head.T
    centred = logits - logits.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    normed = norm_weight * centred / np.sqrt(variance + 1e-5) + norm_bias
    powers = np.exp(normed - normed.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def with_numpys_statistics(
    merged: np.ndarray, head: np.ndarray, norm_weight: np.ndarray, norm_bias: np.ndarray
) -> np.ndarray:
    """Return the same with NumPy's mean and variance and the project's softmax."""
    logits = np.einsum("ntf,wf->ntw", merged, head)
    spread = np.sqrt(np.var(logits, axis=2, keepdims=True) + 1e-5)
    return ops.softmax((logits - np.mean(logits, axis=2, keepdims=True)) / spread * norm_weight + norm_bias)


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    for tiles, tokens, features, words, size in (
        (1, 1, 2, 2, 1.0),
        (1, 2, 2, 2, 1.0),
        (1, 2, 3, 3, 0.01),
        (2, 3, 3, 3, 1.0),
        (2, 2, 2, 5, 1.0),
        (1, 3, 4, 6, 0.1),
        (2, 4, 3, 4, 3.0),
    ):
        arrays = {
            "merged": size * rng.normal(size=(tiles, tokens, features)),
            "head": rng.normal(size=(words, features)),
            "norm_weight": rng.normal(0, 2, words),
            "norm_bias": rng.normal(size=words),
        }
        yield arrays
    yield {name: array.astype(np.float32) for name, array in arrays.items()}
    yield {**arrays, "norm_weight": 1000 * arrays["norm_weight"]}


EXERCISE = Exercise(
    answer=visual_tokens,
    expected=with_numpys_statistics,
    cases=cases,
    one_file="visual_tokens",
    minutes=10,
    hints=(
        "Three steps that you have written before: a linear layer, LayerNorm, softmax. Over which axis?",
        "Everything is over the last axis, the visual words: each token has its own mean, variance and sum.",
        "logits = merged @ head.T, then layer_norm(logits, norm_weight, norm_bias, 1e-5), then softmax",
    ),
    wrong=(
        wrong(
            "no norm",
            "The logits go through LayerNorm before the softmax.",
            ("norm_weight * centred / np.sqrt(variance + 1e-5) + norm_bias", "logits"),
        ),
        wrong(
            "softmax over the tokens",
            "Each token has a distribution over the words: the last axis.",
            ("powers.sum(axis=-1", "powers.sum(axis=-2"),
        ),
        wrong(
            "logits", "The softmax is missing.", ("return powers / powers.sum(axis=-1, keepdims=True)", "return normed")
        ),
        wrong(
            "the likeliest word",
            "A visual token is a distribution, not one word. That is tokenize_function st_argmax.",
            (
                "return powers / powers.sum(axis=-1, keepdims=True)",
                "return (normed == normed.max(axis=-1, keepdims=True)).astype(merged.dtype)",
            ),
        ),
        wrong("RMSNorm", "LayerNorm subtracts the mean.", ("logits - logits.mean(axis=-1, keepdims=True)", "logits")),
        wrong("bias dropped", "LayerNorm adds a bias.", (" + norm_bias", "")),
        wrong("weight forgotten", "LayerNorm multiplies by a weight.", ("norm_weight * centred", "centred")),
        wrong(
            "statistics over the tokens",
            "Mean and variance are those of one token's logits.",
            ("logits.mean(axis=-1", "logits.mean(axis=-2"),
            ("(centred * centred).mean(axis=-1", "(centred * centred).mean(axis=-2"),
        ),
        wrong(
            "another epsilon",
            "LayerNorm's epsilon is 1e-5, torch's default; 1e-6 is that of some RMSNorms.",
            ("1e-5", "1e-6"),
        ),
        wrong("no epsilon", "1e-5 is added to the variance.", (" + 1e-5", "")),
        wrong("head not transposed", "head is (words, features): merged @ head.T.", ("head.T", "head")),
        wrong(
            "scaled logits",
            "There is no division by the root of the width here.",
            ("merged @ head.T", "merged @ head.T / np.sqrt(head.shape[1])"),
        ),
        wrong(
            "sigmoid",
            "The words compete: a softmax, not a sigmoid for each.",
            ("return powers / powers.sum(axis=-1, keepdims=True)", "return 1 / (1 + np.exp(-normed))"),
        ),
        wrong(
            "overflow",
            "Subtract the row's maximum before exp.",
            ("np.exp(normed - normed.max(axis=-1, keepdims=True))", "np.exp(normed)"),
        ),
        wrong(
            "over the tokens",
            "Each token has a distribution of its own: softmax over the words, the last axis.",
            ("normed.max(axis=-1", "normed.max(axis=1"),
            ("powers.sum(axis=-1", "powers.sum(axis=1"),
        ),
    ),
    solution=(visual_tokenizer.visual_tokens,),
    notice=(
        "softmax is one of three tokenize_functions, and the default. The last five words of the visual vocabulary are the "
        "indicators: no picture ever makes them, so the head has no rows for them."
    ),
)
