"""RMSNorm.

Every block of the vision transformer (ViT) and every layer of the language model begins with it: the features of a token
are divided by their root mean square, and each is multiplied by a learned weight (Zhang and Sennrich, 2019, eq. 4).

    y = w x / sqrt(mean(x^2) + eps)

The mean is taken over the last axis, for every token on its own. No mean is subtracted, unlike in LayerNorm.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from ovis2_ref import ops
from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong
from ovis2_ref.runtime.weights import Weights


def rms_norm(
    x: Float[np.ndarray, "*batch hidden"], weight: Float[np.ndarray, " hidden"], eps: float
) -> Float[np.ndarray, "*batch hidden"]:
    """Return w x / sqrt(mean(x^2) + eps) over the last axis, in the type of `x`."""
    mean_square = (x * x).mean(axis=-1, keepdims=True)
    return weight * x / np.sqrt(mean_square + eps)


def project(x: np.ndarray, weight: np.ndarray, eps: float) -> np.ndarray:
    return ops.rms_norm(x, Weights({"weight": weight}), eps)


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    for shape, size, eps in (
        ((2,), 1.0, 1e-6),
        ((1, 3), 0.01, 1e-3),
        ((2, 3), 1.0, 1e-5),
        ((3, 3), 2.0, 1e-6),
        ((3, 4), 0.1, 1e-2),
        ((2, 3, 4), 1.0, 1e-6),
        ((4, 4), 1.0, 1e-5),
    ):
        for dtype in (np.float64, np.float32):
            x, weight = size * rng.normal(0.5, 1, shape), rng.normal(0, 1.5, shape[-1])
            yield {"x": x.astype(dtype), "weight": weight.astype(dtype), "eps": eps}


EXERCISE = Exercise(
    answer=rms_norm,
    expected=project,
    cases=cases,
    one_file="rms_norm",
    minutes=8,
    hints=(
        "One number for each token: the mean of the squares of its features. What has to happen to its shape?",
        (
            "(x * x).mean(axis=-1, keepdims=True) keeps the last axis with length 1, so that it divides every feature of "
            "its token."
        ),
        "weight * x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps)",
    ),
    wrong=(
        wrong("identity", "x comes back as it was.", ("weight * x / np.sqrt(mean_square + eps)", "x")),
        wrong("weight forgotten", "Each feature is multiplied by its learned weight.", ("weight * x", "x")),
        wrong(
            "mean subtracted",
            "That is LayerNorm. RMSNorm divides by the root mean square of x itself.",
            ("mean_square =", "x = x - x.mean(axis=-1, keepdims=True)\n    mean_square ="),
        ),
        wrong("no epsilon", "eps keeps the root away from 0; it counts where x is small.", (" + eps", "")),
        wrong(
            "epsilon outside the root",
            "eps is added to the mean square, under the root.",
            ("np.sqrt(mean_square + eps)", "(np.sqrt(mean_square) + eps)"),
        ),
        wrong("sum for mean", "Divide the sum of the squares by their number.", (".mean(", ".sum(")),
        wrong("wrong axis", "The features of a token are the last axis.", ("axis=-1", "axis=0")),
        wrong("one mean for all tokens", "Every token has its own mean: give the axis.", ("axis=-1, ", "")),
        wrong(
            "root forgotten",
            "Divide by the root of the mean square.",
            ("np.sqrt(mean_square + eps)", "(mean_square + eps)"),
        ),
        wrong("square forgotten", "It is the mean of the squares.", ("(x * x)", "np.abs(x)")),
        wrong(
            "broadcasting by accident",
            (
                "Without keepdims the means line up with the features, and fit by chance where there are as many tokens as "
                "features."
            ),
            (", keepdims=True", ""),
        ),
        wrong(
            "float64 by accident",
            "float32 in, float32 out: some step made a float64 array.",
            ("(x * x)", "(x * np.float64(1) * x)"),
        ),
        wrong(
            "weight + 1",
            "That is Gemma's RMSNorm; Ovis2 multiplies by the weight itself.",
            ("weight * x", "(1 + weight) * x"),
        ),
        wrong(
            "mean and root exchanged",
            "The root of the mean of squares, not the mean of roots of squares.",
            ("(x * x).mean(axis=-1, keepdims=True)", "np.abs(x).mean(axis=-1, keepdims=True) ** 2"),
        ),
    ),
    solution=(ops.rms_norm,),
    notice=(
        "the same formula, with the weights of one part of the model as `w`. For float16 and bfloat16 the sum is "
        "carried in float32, since a sum of squares overflows float16, and the result is rounded before the weight and "
        "after it, as transformers does."
    ),
)
