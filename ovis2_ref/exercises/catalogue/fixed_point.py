"""Pillow's fixed point.

Pillow resizes bytes in whole numbers: each weight becomes a multiple of 2^-22, and sums of bytes times such weights are
exact. To be equal to Pillow in every byte, round the weights as it does: to the nearest multiple of 2^-bits, halves away
from zero.

    with 1 bit:  0.25 -> 0.5    -0.25 -> -0.5    0.2 -> 0    -0.7 -> -0.5
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong
from ovis2_ref.image import filters


def fixed_point(weights: Float[np.ndarray, "out taps"], bits: int) -> Float[np.ndarray, "out taps"]:
    """Return `weights` (float64) rounded to multiples of 2^-bits, halves away from zero.

    They stay float64 numbers, which hold such multiples exactly.
    """
    scaled = weights * 2.0**bits
    return np.trunc(scaled + np.copysign(0.5, scaled)) / 2.0**bits


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    for numbers, bits in (
        ([0.25], 1),
        ([-0.25], 1),
        ([0.75, -0.75], 1),
        ([0.2, -0.7], 1),
        ([0.2485], 1),
        ([0.0, 1.0, -1.0], 3),
        ([1.8, -1.3], 2),
    ):
        yield {"weights": np.array([numbers]), "bits": bits}
    for bits in (2, 8, 15, 22):
        yield {"weights": rng.uniform(-0.2, 1, (2, 4)), "bits": bits}


EXERCISE = Exercise(
    answer=fixed_point,
    expected=filters.fixed_point,
    cases=cases,
    one_file="windows",
    minutes=8,
    hints=(
        "Scale so that the multiples become whole numbers, round, and scale back.",
        (
            "np.round sends halves to the even neighbour. To send them away from zero, add 1/2 with the number's sign and "
            "truncate."
        ),
        "np.trunc(scaled + np.copysign(0.5, scaled)) / 2.0**bits",
    ),
    wrong=(
        wrong(
            "halves to even",
            "np.round and np.rint send 0.5 to 0 and 1.5 to 2. Pillow adds 1/2 and truncates.",
            ("np.trunc(scaled + np.copysign(0.5, scaled))", "np.round(scaled)"),
        ),
        wrong(
            "halves up",
            "floor(x + 1/2) sends -0.5 to 0. Halves go away from zero: -0.5 to -1.",
            ("np.trunc(scaled + np.copysign(0.5, scaled))", "np.floor(scaled + 0.5)"),
        ),
        wrong(
            "truncated",
            "Truncating drops the fraction; add 1/2 of the number's sign first.",
            ("scaled + np.copysign(0.5, scaled)", "scaled"),
        ),
        wrong(
            "rounded down",
            "The nearest multiple, not the one below.",
            ("np.trunc(scaled + np.copysign(0.5, scaled))", "np.floor(scaled)"),
        ),
        wrong(
            "rounded up",
            "The nearest multiple, not the one above.",
            ("np.trunc(scaled + np.copysign(0.5, scaled))", "np.ceil(scaled)"),
        ),
        wrong(
            "1/2 added to negative numbers",
            "A negative number needs -1/2: np.copysign(0.5, scaled).",
            ("np.copysign(0.5, scaled)", "0.5"),
        ),
        wrong("not scaled back", "The result is a multiple of 2^-bits, not a whole number.", (" / 2.0**bits", "")),
        wrong(
            "not scaled",
            "Multiply by 2^bits first: the step is 2^-bits, not 1.",
            ("weights * 2.0**bits", "weights"),
            (" / 2.0**bits", ""),
        ),
        wrong(
            "identity",
            "The weights come back as they were.",
            ("np.trunc(scaled + np.copysign(0.5, scaled)) / 2.0**bits", "weights"),
        ),
        wrong(
            "2 bits for 2^bits",
            "The scale is 2 to the power of bits.",
            ("weights * 2.0**bits", "weights * (2.0 * bits)"),
            (" / 2.0**bits", " / (2.0 * bits)"),
        ),
        wrong(
            "one bit too many",
            "The step is 2^-bits.",
            ("weights * 2.0**bits", "weights * 2.0 ** (bits + 1)"),
            (" / 2.0**bits", " / 2.0 ** (bits + 1)"),
        ),
        wrong(
            "float32 by accident",
            "22 bits and the products with bytes need float64.",
            ("weights * 2.0**bits", "weights.astype(np.float32) * np.float32(2.0**bits)"),
        ),
    ),
    solution=(filters.fixed_point,),
    notice=(
        "ldexp changes the exponent alone, so scaling costs no digit. Pillow 13 keeps 22 bits, 32 less 8 for the pixel "
        "and 2 for the filter's negative lobes; torch keeps as many as let the largest weight fit 16 bits."
    ),
    exact=True,
)
