"""LayerNorm, with a bias.

The visual tokenizer's head ends in one: the logits over the visual vocabulary are standardised before the softmax, each
token's on its own (Ba et al., 2016).

    y = w (x - mean) / sqrt(var + eps) + b,    var = mean((x - mean)^2)
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from ovis2_ref import ops
from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong
from ovis2_ref.runtime.weights import Weights


def layer_norm(
    x: Float[np.ndarray, "*batch hidden"],
    weight: Float[np.ndarray, " hidden"],
    bias: Float[np.ndarray, " hidden"],
    eps: float,
) -> Float[np.ndarray, "*batch hidden"]:
    """Return w (x - mean) / sqrt(var + eps) + b over the last axis, in the type of `x`."""
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    return weight * centred / np.sqrt(variance + eps) + bias


def project(x: np.ndarray, weight: np.ndarray, bias: np.ndarray, eps: float) -> np.ndarray:
    return ops.layer_norm(x, Weights({"weight": weight, "bias": bias}), eps)


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    for shape, size, eps in (
        ((2,), 1.0, 1e-5),
        ((1, 3), 0.01, 1e-3),
        ((2, 3), 1.0, 1e-5),
        ((3, 3), 2.0, 1e-6),
        ((3, 4), 0.1, 1e-2),
        ((2, 3, 4), 1.0, 1e-5),
    ):
        for dtype in (np.float64, np.float32):
            x, weight, bias = (
                size * rng.normal(0.5, 1, shape),
                rng.normal(0, 1.5, shape[-1]),
                rng.normal(size=shape[-1]),
            )
            yield {"x": x.astype(dtype), "weight": weight.astype(dtype), "bias": bias.astype(dtype), "eps": eps}


EXERCISE = Exercise(
    answer=layer_norm,
    expected=project,
    cases=cases,
    one_file="layer_norm",
    minutes=8,
    hints=(
        "Subtract the mean of each token's features, then divide by their standard deviation.",
        "Mean and variance are over the last axis with keepdims=True; the variance divides by n, as ndarray.var does.",
        "weight * (x - mean) / np.sqrt(variance + eps) + bias",
    ),
    wrong=(
        wrong("identity", "x comes back as it was.", ("weight * centred / np.sqrt(variance + eps) + bias", "x")),
        wrong("bias dropped", "The bias is added at the end. RMSNorm has none, LayerNorm does.", (" + bias", "")),
        wrong(
            "weight forgotten",
            "Each standardised feature is multiplied by its weight.",
            ("weight * centred", "centred"),
        ),
        wrong("RMSNorm", "The mean is subtracted first.", ("x - x.mean(axis=-1, keepdims=True)", "x")),
        wrong("mean not subtracted at the end", "The numerator is x - mean, too.", ("weight * centred", "weight * x")),
        wrong(
            "n - 1 for n",
            "The variance is the mean of the squares: divide by n, not by n - 1.",
            ("(centred * centred).mean(axis=-1, keepdims=True)", "x.var(axis=-1, ddof=1, keepdims=True)"),
        ),
        wrong("no epsilon", "eps is added to the variance.", (" + eps", "")),
        wrong(
            "epsilon outside the root",
            "eps is added to the variance, under the root.",
            ("np.sqrt(variance + eps)", "(np.sqrt(variance) + eps)"),
        ),
        wrong("root forgotten", "Divide by the root of the variance.", ("np.sqrt(variance + eps)", "(variance + eps)")),
        wrong(
            "bias before weight",
            "The weight comes first, then the bias.",
            (
                "weight * centred / np.sqrt(variance + eps) + bias",
                "weight * (centred / np.sqrt(variance + eps) + bias)",
            ),
        ),
        wrong(
            "wrong axis",
            "The features of a token are the last axis.",
            ("x.mean(axis=-1", "x.mean(axis=0"),
            ("(centred * centred).mean(axis=-1", "(centred * centred).mean(axis=0"),
        ),
        wrong(
            "one mean for all tokens",
            "Every token has its own mean and variance: give the axis.",
            ("x.mean(axis=-1, ", "x.mean("),
            ("(centred * centred).mean(axis=-1, ", "(centred * centred).mean("),
        ),
        wrong(
            "sum for mean",
            "The variance is the mean of the squares.",
            ("(centred * centred).mean(", "(centred * centred).sum("),
        ),
        wrong(
            "mean(x^2) for the variance",
            "The variance is the mean of the squares of x - mean.",
            ("(centred * centred)", "(x * x)"),
        ),
        wrong(
            "no keepdims",
            "Without keepdims=True mean and variance line up with the columns.",
            ("x.mean(axis=-1, keepdims=True)", "x.mean(axis=-1)"),
            ("(centred * centred).mean(axis=-1, keepdims=True)", "(centred * centred).mean(axis=-1)"),
        ),
        wrong(
            "no keepdims, by var",
            "Without keepdims=True mean and variance line up with the columns.",
            ("x.mean(axis=-1, keepdims=True)", "x.mean(axis=-1)"),
            ("(centred * centred).mean(axis=-1, keepdims=True)", "x.var(axis=-1)"),
        ),
    ),
    solution=(ops.layer_norm,),
    notice=(
        "two passes: the mean first, then the mean of the squared differences. mean(x^2) - mean(x)^2 is the same on "
        "paper and loses all digits where the mean is large. Weight and bias are used in float32 and the result is "
        "rounded once."
    ),
)
