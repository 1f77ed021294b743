"""Rounding to bfloat16.

A bfloat16 is the upper half of a float32: its sign, all 8 bits of the exponent, and 7 of the 23 bits of the fraction.
Converting rounds to the nearest such number, and where two are as near, to the one whose last bit is 0 ("half to even").

    1 + 1/256 (bits 0x3F808000) lies half way between 0x3F80 (1) and 0x3F81 (1 + 1/128): it becomes 1
    1 + 3/256 (bits 0x3F818000) lies half way between 0x3F81 and 0x3F82 (1 + 1/64): it becomes 1 + 1/64

Bits can be looked at with x.view(np.uint32), and a number made of them with bits.view(np.float32).
"""

from collections.abc import Iterator

import ml_dtypes
import numpy as np
from jaxtyping import Float

from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong
from ovis2_ref.runtime import arrays


def round_to_bfloat16(x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return every number of `x` (float32) rounded to a bfloat16, as float32; NaN stays NaN.

    Numbers above the largest bfloat16 become infinity where that is nearer.
    """
    bits = x.view(np.uint32)
    last = (bits >> 16) & 1
    rounded = (bits + 0x7FFF + last) & 0xFFFF0000
    return np.where(np.isnan(x), x, rounded.view(np.float32))


def by_ml_dtypes(x: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # a NaN
        return x.astype(ml_dtypes.bfloat16).astype(np.float32)


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    tie_down, tie_up = 0x3F808000, 0x3F818000
    for pattern in (
        tie_down,
        tie_up,
        tie_down + 1,
        tie_down - 1,
        tie_up + 1,
        tie_up - 1,
        0x3F80FFFF,
        0x3F800001,
        0x80000000,
    ):
        yield {"x": np.array([pattern], np.uint32).view(np.float32)}
    for negative in (tie_down, tie_up, tie_down + 1, tie_up - 1):
        yield {"x": np.array([negative | 0x80000000], np.uint32).view(np.float32)}
    yield {"x": np.array([np.nan, np.inf, -np.inf, 0.0], np.float32)}
    yield {"x": np.array([0x7FFFFFFF, 0xFFFFFFFF], np.uint32).view(np.float32)}  # NaNs that overflow when rounded
    yield {"x": np.array([3.4e38, -3.4e38, 3.38e38, 1e-40], np.float32)}
    for size in (1e-3, 1.0, 1e5):
        yield {"x": rng.normal(0, size, 8).astype(np.float32)}
    yield {"x": (rng.integers(0, 2**16, 8, dtype=np.uint32) << 16 | 0x8000).view(np.float32)}


EXERCISE = Exercise(
    answer=round_to_bfloat16,
    expected=by_ml_dtypes,
    cases=cases,
    minutes=12,
    hints=(
        (
            "Add something below the upper half so that a carry goes up exactly when the number is to be rounded up. Then "
            "cut off."
        ),
        "0x7FFF carries for everything above one half. At one half it carries if 1 more is added: for an odd last bit.",
        "(bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000",
    ),
    wrong=(
        wrong(
            "truncated",
            "Cutting off the lower half rounds towards 0. Add 0x7FFF and the last bit first.",
            ("bits + 0x7FFF + last", "bits"),
        ),
        wrong(
            "halves up",
            "0x8000 sends every half away from 0; halves go to the even neighbour.",
            ("bits + 0x7FFF + last", "bits + 0x8000"),
        ),
        wrong("halves down", "At one half the last bit decides.", ("bits + 0x7FFF + last", "bits + 0x7FFF")),
        wrong(
            "halves to odd",
            "Half to even: add 1 where the last bit is 1.",
            ("bits + 0x7FFF + last", "bits + 0x8000 - last"),
        ),
        wrong("always up", "Only what lies above one half goes up.", ("bits + 0x7FFF + last", "bits + 0xFFFF")),
        wrong(
            "NaN lost",
            "A carry can run through a NaN's bits and make infinity or 0 of it: keep NaN as it is.",
            ("np.where(np.isnan(x), x, rounded.view(np.float32))", "rounded.view(np.float32)"),
        ),
        wrong(
            "float16",
            "float16 has other bits: 5 of exponent and 10 of fraction.",
            ("np.where(np.isnan(x), x, rounded.view(np.float32))", "x.astype(np.float16).astype(np.float32)"),
        ),
        wrong(
            "one bit too many",
            "The upper 16 bits stay: 7 of the fraction.",
            ("bits >> 16", "bits >> 15"),
            ("0x7FFF", "0x3FFF"),
            ("0xFFFF0000", "0xFFFF8000"),
        ),
        wrong(
            "one bit too few",
            "The upper 16 bits stay: 7 of the fraction.",
            ("bits >> 16", "bits >> 17"),
            ("0x7FFF", "0xFFFF"),
            ("0xFFFF0000", "0xFFFE0000"),
        ),
        wrong("the lower half left", "A bfloat16 has zeros in the lower 16 bits.", (" & 0xFFFF0000", "")),
        wrong(
            "converted for viewed",
            "view looks at the bits; astype converts the number.",
            (
                "bits = x.view(np.uint32)",
                "bits = np.abs(np.nan_to_num(x, posinf=0, neginf=0)).clip(0, 1e9).astype(np.uint32)",
            ),
        ),
        wrong(
            "identity", "x comes back as it was.", ("np.where(np.isnan(x), x, rounded.view(np.float32))", "x.copy()")
        ),
        wrong(
            "left as bits", "The result is numbers: view the bits as float32.", ("rounded.view(np.float32)", "rounded")
        ),
    ),
    solution=(arrays.widened, arrays.as_dtype),
    notice=(
        "the project leaves the rounding to ml_dtypes, and you have just written what it does. bfloat16 has float32's "
        "range, so nothing overflows, and two or three digits: 256 + 1 is 256. That is why sums are carried in float32 "
        "and rounded once."
    ),
    exact=True,
)
