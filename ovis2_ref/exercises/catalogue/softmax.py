"""Softmax.

It makes a distribution of any numbers: all positive, with a sum of 1, the larger the likelier. Attention, the visual tokens
and the choice of the next token use it.

    p_i = exp(x_i) / sum_j exp(x_j)

exp(1000) overflows. A number that is subtracted from all x_i of a row divides out again, so subtract the row's maximum: the
largest power is then exp(0) = 1.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from ovis2_ref import ops
from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong


def softmax(x: Float[np.ndarray, "*batch n"]) -> Float[np.ndarray, "*batch n"]:
    """Return exp(x_i) / sum_j exp(x_j) over the last axis, in the type of `x`, with nothing that overflows.

    Some x_i may be -infinity (masked); never all of a row.
    """
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def project(x: np.ndarray) -> np.ndarray:
    return ops.softmax(x)


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    yield {"x": np.array([0.0, 0.0])}
    yield {"x": np.array([1.0, 2.0, -np.inf])}
    yield {"x": np.array([[1000.0, 999.0], [1.0, 0.0]])}
    yield {"x": np.array([[-1000.0, -1001.0], [1.0, 2.0]])}
    yield {"x": np.array([[-600.0, 0.0, 600.0]])}
    for shape in ((2, 3), (3, 3), (2, 3, 4), (4, 2, 2), (3, 2, 3, 2)):
        yield {"x": rng.normal(0, 2, shape)}
        yield {"x": rng.normal(0, 2, shape).astype(np.float32)}


EXERCISE = Exercise(
    answer=softmax,
    expected=project,
    cases=cases,
    one_file="softmax",
    minutes=8,
    hints=(
        "Two steps: powers that can't overflow, then each over the sum of its row.",
        "Maximum and sum are taken over the last axis; keepdims=True lets them meet their row.",
        "powers = np.exp(x - x.max(axis=-1, keepdims=True))",
    ),
    wrong=(
        wrong(
            "identity", "x comes back as it was.", ("return powers / powers.sum(axis=-1, keepdims=True)", "return x")
        ),
        wrong(
            "overflow",
            "exp of a large number is infinity, and infinity / infinity is NaN. Subtract each row's maximum first.",
            ("x - x.max(axis=-1, keepdims=True)", "x"),
        ),
        wrong("wrong axis", "A row is the last axis.", ("powers.sum(axis=-1", "powers.sum(axis=0")),
        wrong("one sum for everything", "Every row has a sum of 1.", ("powers.sum(axis=-1, ", "powers.sum(")),
        wrong("not normalised", "Divide by the sum of the row.", (" / powers.sum(axis=-1, keepdims=True)", "")),
        wrong(
            "exponential forgotten",
            "The powers exp(x_i) are normalised, not the x_i.",
            ("np.exp(x - x.max(axis=-1, keepdims=True))", "x"),
        ),
        wrong("base 2", "The base is e: np.exp.", ("np.exp(", "np.exp2(")),
        wrong(
            "minimum subtracted",
            "The minimum leaves the largest power as large as before, or larger. Subtract the maximum.",
            ("x.max(", "x.min("),
        ),
        wrong(
            "the maximum of everything",
            "A row far below the largest number of all vanishes: 0 / 0. Each row has its own maximum.",
            ("x.max(axis=-1, keepdims=True)", "x.max()"),
        ),
        wrong(
            "broadcasting by accident",
            "Without keepdims the sums line up with the columns.",
            ("powers.sum(axis=-1, keepdims=True)", "powers.sum(axis=-1)"),
        ),
        wrong(
            "logarithm",
            "That is log-softmax, the logarithm of the result.",
            (
                "return powers / powers.sum(axis=-1, keepdims=True)",
                "return np.log(powers / powers.sum(axis=-1, keepdims=True))",
            ),
        ),
        wrong(
            "sigmoid",
            "That is 1 / (1 + exp(-x)), number by number; softmax is over a row.",
            ("return powers / powers.sum(axis=-1, keepdims=True)", "return 1 / (1 + np.exp(-x))"),
        ),
        wrong("float64 by accident", "float32 in, float32 out.", ("np.exp(x - ", "np.exp(x.astype(np.float64) - ")),
        wrong(
            "written into x",
            "`x -= ...` changes the caller's array. Make a new one.",
            (
                "    powers = np.exp(x - x.max(axis=-1, keepdims=True))",
                "    x -= x.max(axis=-1, keepdims=True)\n    powers = np.exp(x)",
            ),
        ),
        wrong(
            "along the first axis",
            "A row is the last axis, for the maximum and for the sum.",
            ("x.max(axis=-1", "x.max(axis=0"),
            ("powers.sum(axis=-1", "powers.sum(axis=0"),
        ),
        wrong(
            "no keepdims",
            "Without keepdims=True the maxima and the sums line up with the columns.",
            ("x.max(axis=-1, keepdims=True)", "x.max(axis=-1)"),
            ("powers.sum(axis=-1, keepdims=True)", "powers.sum(axis=-1)"),
        ),
    ),
    solution=(ops.softmax,),
    notice=(
        "the same two lines. A 16-bit softmax is computed in float32 and rounded once, at the end. Rows of -infinity "
        "alone would give NaN, so the decoder's mask uses the lowest finite number instead."
    ),
)
