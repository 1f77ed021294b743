"""The cubic filter.

Resizing makes every new pixel a weighted mean of the old ones around it. The weight falls with the distance x from the new
pixel's centre; Keys (1981) made it of two cubic polynomials, with a free number a. Pillow, and so Ovis2, has a = -1/2.

    (a + 2)|x|^3 - (a + 3)|x|^2 + 1              for |x| < 1
    a|x|^3 - 5a|x|^2 + 8a|x| - 4a                for 1 <= |x| < 2
    0                                            beyond
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong
from ovis2_ref.image import filters


def cubic(x: Float[np.ndarray, "out taps"]) -> Float[np.ndarray, "out taps"]:
    """Return the weight at every distance in `x` (in pixels, of either sign), for a = -1/2."""
    a = -0.5
    x = np.abs(x)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    for distances in ([0.0], [0.5], [-0.5], [1.5], [-1.25], [2.5, -3.0], [1.0, 2.0, 0.5], [0.25, 0.75]):
        yield {"x": np.array([distances])}
    for _ in range(4):
        yield {"x": rng.uniform(-3, 3, (2, 4))}


EXERCISE = Exercise(
    answer=cubic,
    expected=filters.bicubic,
    cases=cases,
    one_file="bicubic",
    minutes=8,
    hints=(
        "The weight is the same on both sides, so begin with |x|. Then there are three pieces.",
        "Compute both polynomials for every x, and choose with np.where.",
        "np.where(x < 1, near, np.where(x < 2, far, 0))",
    ),
    wrong=(
        wrong("a = -3/4", "That is OpenCV's and torch's bicubic; Pillow has a = -1/2.", ("a = -0.5", "a = -0.75")),
        wrong("a = -1", "Pillow has a = -1/2.", ("a = -0.5", "a = -1.0")),
        wrong("a = +1/2", "a is negative: the second piece dips below 0.", ("a = -0.5", "a = 0.5")),
        wrong("bilinear", "That is the triangle 1 - |x|.", ("near, np.where(x < 2, far, 0)", "1 - x, 0.0")),
        wrong(
            "box",
            "That is nearest neighbour: the weight changes with the distance.",
            ("x < 1, near, np.where(x < 2, far, 0)", "x < 0.5, 1.0, 0.0"),
        ),
        wrong("one side only", "The distance has a sign, the weight hasn't: take |x| first.", ("np.abs(x)", "x")),
        wrong("no outer piece", "Between 1 and 2 the weight isn't 0.", ("np.where(x < 2, far, 0)", "0.0")),
        wrong("no end", "Beyond 2 the weight is 0.", ("np.where(x < 2, far, 0)", "far")),
        wrong("outer piece upside down", "The outer piece is negative: a is.", ("x < 2, far", "x < 2, -far")),
        wrong(
            "B-spline",
            "That is the cubic B-spline, which blurs: its weight at 0 is 2/3. Keys' filter is 1 at 0.",
            ("near, np.where(x < 2, far, 0)", "2 / 3 - x**2 + x**3 / 2, np.where(x < 2, (2 - x) ** 3 / 6, 0.0)"),
        ),
        wrong(
            "Catmull-Rom's 2 and 3 without a",
            "The first piece has a + 2 and a + 3 as its factors.",
            ("(a + 2) * x**3 - (a + 3) * x**2", "2 * x**3 - 3 * x**2"),
        ),
    ),
    solution=(filters.bicubic,),
    notice=(
        "the polynomials are written as Pillow's C code has them, by Horner's rule, so that every rounding is the same."
        " At the whole distances the filter is 1, 0 and 0: resizing to the same size changes nothing."
    ),
)
