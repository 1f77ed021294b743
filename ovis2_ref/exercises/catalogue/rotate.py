"""Turn queries and keys.

Each pair of numbers (a, b) of a head is turned by its token's angle, as a point in the plane. Number i is paired with
number i + head_dim / 2: the first half of the head holds the a's, the second half the b's.

    (a, b)  ->  (a cos - b sin, b cos + a sin)

The product of a turned query and a turned key then depends only on how far apart the two tokens are.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong
from ovis2_ref.language import rope


def rotate(
    x: Float[np.ndarray, "batch heads tokens head_dim"],
    cos: Float[np.ndarray, "batch tokens pairs"],
    sin: Float[np.ndarray, "batch tokens pairs"],
) -> Float[np.ndarray, "batch heads tokens head_dim"]:
    """Return `x` with every pair turned by its token's angle, the same in all heads."""
    a, b = np.split(x, 2, axis=-1)
    cos, sin = cos[:, None], sin[:, None]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def project(x: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> np.ndarray:
    return rope.rotate(x, cos, sin)


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    for batch, heads, tokens, pairs in (
        (1, 1, 1, 1),
        (1, 1, 2, 1),
        (1, 1, 2, 2),
        (1, 2, 2, 2),
        (2, 2, 2, 2),
        (2, 3, 4, 2),
        (1, 4, 3, 3),
        (3, 3, 3, 4),
    ):
        for dtype in (np.float64, np.float32):
            angles = rng.uniform(-3, 3, (batch, tokens, pairs))
            x = rng.normal(size=(batch, heads, tokens, 2 * pairs))
            yield {"x": x.astype(dtype), "cos": np.cos(angles).astype(dtype), "sin": np.sin(angles).astype(dtype)}


EXERCISE = Exercise(
    answer=rotate,
    expected=project,
    cases=cases,
    one_file="rotate",
    minutes=10,
    hints=(
        "Split the head into its two halves, a and b, and give cos and sin an axis for the heads.",
        (
            "cos[:, None] is (batch, 1, tokens, pairs): the same for all heads. Then two formulas, and the halves together "
            "again."
        ),
        "np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)",
    ),
    wrong=(
        wrong(
            "identity",
            "x comes back as it was.",
            ("np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)", "x"),
        ),
        wrong(
            "neighbours paired",
            "Number i is paired with i + head_dim / 2, not with its neighbour (that is GPT-J's and the paper's "
            "own layout).",
            ("a, b = np.split(x, 2, axis=-1)", "a, b = x[..., ::2], x[..., 1::2]"),
            (
                "np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)",
                "np.stack([a * cos - b * sin, b * cos + a * sin], axis=-1).reshape(x.shape)",
            ),
        ),
        wrong(
            "neighbours paired, halves put out",
            "Pair number i with i + head_dim / 2 on the way in, too.",
            ("a, b = np.split(x, 2, axis=-1)", "a, b = x[..., ::2], x[..., 1::2]"),
        ),
        wrong(
            "turned backwards",
            "The sign of sin: a cos - b sin, b cos + a sin.",
            ("a * cos - b * sin, b * cos + a * sin", "a * cos + b * sin, b * cos - a * sin"),
        ),
        wrong(
            "cos and sin exchanged",
            "a goes with cos in the first half.",
            ("cos[:, None], sin[:, None]", "sin[:, None], cos[:, None]"),
        ),
        wrong("both signs plus", "The first half has a minus.", ("a * cos - b * sin", "a * cos + b * sin")),
        wrong("both signs minus", "The second half has a plus.", ("b * cos + a * sin", "b * cos - a * sin")),
        wrong(
            "halves exchanged",
            "The a's stay in the first half.",
            ("[a * cos - b * sin, b * cos + a * sin]", "[b * cos + a * sin, a * cos - b * sin]"),
        ),
        wrong("the first half alone", "Both numbers of a pair are turned.", ("b * cos + a * sin", "b")),
        wrong("stretched only", "Turning mixes a and b.", ("a * cos - b * sin, b * cos + a * sin", "a * cos, b * cos")),
        wrong(
            "angles for heads",
            "The new axis is that of the heads, the second: cos[:, None]. With cos[:, :, None] the angles of "
            "tokens meet heads, and fit by chance.",
            ("cos[:, None], sin[:, None]", "cos[:, :, None], sin[:, :, None]"),
        ),
        wrong(
            "no axis for the heads",
            "cos needs an axis for the heads; without it the batch meets them, and fits by chance.",
            ("cos[:, None], sin[:, None]", "cos, sin"),
        ),
        wrong(
            "a turned twice",
            "The second half uses the a from before turning.",
            ("return np", "a = a * cos - b * sin\n    return np"),
            ("[a * cos - b * sin,", "[a,"),
        ),
        wrong(
            "float64 by accident",
            "float32 in, float32 out.",
            ("cos[:, None], sin[:, None]", "cos[:, None] * np.float64(1), sin[:, None]"),
        ),
    ),
    solution=(rope.rotate,),
    notice=(
        "transformers writes x cos + rotate_half(x) sin with tables that hold every column twice: the same sums. A "
        "judge that compares q k^T at equal positions accepts the identity; only different positions show the turning."
    ),
)
