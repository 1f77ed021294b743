"""One pass of resizing, as W x.

A picture is resized one axis at a time. With one row of weights for each new pixel, a pass over the height is a matrix
product, and its sums are rounded to bytes at once.

    out = clip(floor(W x + 1/2), 0, 255)

The cubic filter has negative weights, so a sum can leave the range of a byte at a sharp edge: it is clipped.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, UInt8

from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong
from ovis2_ref.image import resize


def resize_pass(
    picture: UInt8[np.ndarray, "height width"], weights: Float[np.ndarray, "new_height height"]
) -> UInt8[np.ndarray, "new_height width"]:
    """Return the picture with its height resized: clip(floor(W x + 1/2), 0, 255) as bytes."""
    sums = weights @ picture
    return np.clip(np.floor(sums + 0.5), 0, 255).astype(np.uint8)


def in_whole_numbers(picture: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the same in Python's whole numbers: the weights are multiples of 2^-22."""
    whole = [[int(w * 2**22) for w in row] for row in weights]
    sums = [[sum(w * int(x) for w, x in zip(row, column, strict=True)) for column in picture.T] for row in whole]
    return np.array([[min(max((s + 2**21) >> 22, 0), 255) for s in row] for row in sums], np.uint8)


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    for column, rows in (
        ([10, 11], [[0.5, 0.5]]),
        ([11, 12], [[0.5, 0.5]]),
        ([220, 60], [[1.5, -0.5]]),
        ([100, 200], [[1.5, -1.0]]),
        ([1, 0], [[0.4970703125, 0.5]]),
        ([30, 31], [[0.75, 0.25], [0.25, 0.75]]),
    ):
        yield {"picture": np.array([column], np.uint8).T, "weights": np.array(rows)}
    for height, width, new in ((2, 2, 2), (3, 3, 3), (4, 2, 3), (6, 5, 4), (8, 6, 5)):
        weights = rng.uniform(-0.3, 1, (new, height))
        weights = np.floor(weights / weights.sum(axis=1, keepdims=True) * 2**22) / 2**22
        yield {"picture": rng.integers(0, 256, (height, width), dtype=np.uint8), "weights": weights}


EXERCISE = Exercise(
    answer=resize_pass,
    expected=in_whole_numbers,
    cases=cases,
    one_file="pillow_resize",
    minutes=6,
    hints=(
        "One product, whose sums are no bytes, and then four small steps to get back to bytes.",
        "weights @ picture, then + 1/2, floor, clip, and only then to bytes.",
        "np.clip(np.floor(sums + 0.5), 0, 255).astype(np.uint8)",
    ),
    wrong=(
        wrong("truncated", "Converting to bytes drops the fraction: add 1/2 before the floor.", ("sums + 0.5", "sums")),
        wrong(
            "halves to even",
            "np.round sends 10.5 to 10; floor(s + 1/2) sends it to 11.",
            ("np.floor(sums + 0.5)", "np.round(sums)"),
        ),
        wrong(
            "not clipped",
            "Below 0 and above 255 a byte wraps around: clip, and do it before converting.",
            (
                "np.clip(np.floor(sums + 0.5), 0, 255).astype(np.uint8)",
                "np.floor(sums + 0.5).astype(np.int64).astype(np.uint8)",
            ),
        ),
        wrong(
            "clipped below only",
            "The filter overshoots on both sides: 255 is a limit, too.",
            (", 0, 255).astype(np.uint8)", ", 0, None).astype(np.int64).astype(np.uint8)"),
        ),
        wrong(
            "the other axis",
            "The rows of the weights meet the picture's height: W x, not x W^T.",
            ("weights @ picture", "picture @ weights.T"),
        ),
        wrong(
            "the picture transposed",
            "A pass changes the height alone; width stays width.",
            ("picture", "picture.T"),
        ),
        wrong(
            "weights transposed",
            "A row of the weights makes one new pixel: W x, not W^T x.",
            ("weights @", "weights.T @"),
        ),
        wrong("left as floats", "The result is a picture: bytes.", (".astype(np.uint8)", "")),
        wrong(
            "rounded up", "floor(s + 1/2), not the next whole number above.", ("np.floor(sums + 0.5)", "np.ceil(sums)")
        ),
        wrong(
            "weights made bytes",
            "Weights are fractions: as bytes they are all 0 or 1.",
            ("weights @", "weights.astype(np.uint8) @"),
        ),
        wrong("number by number", "A pass is a matrix product, @, not *.", ("weights @", "weights *")),
        wrong("clipped at 256", "A byte ends at 255; 256 becomes 0.", (", 0, 255)", ", 0, 256)")),
    ),
    solution=(resize.resample_axis,),
    notice=(
        "the project multiplies blocks of W, since most of it is 0. Weights are multiples of 2^-22 and pixels are "
        "bytes, so each product and each sum is exact in float64, whatever the order of adding."
    ),
    shown="picture",
    exact=True,
)
