"""Patches by a reshape.

The ViT sees a tile as patches of p x p pixels in reading order. Its first layer is a convolution whose stride is its
kernel, and that is one matrix product over the patches, each flattened to a row: first the channel, then the row, then the
column.

    (tiles, channels, height, width)  ->  (tiles, patches, channels p p)

Pixels to the right of and below the last whole patch are not looked at.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong
from ovis2_ref.vision import encoder


def patches(
    pixel_values: Float[np.ndarray, "tiles channels height width"], p: int
) -> Float[np.ndarray, "tiles patches numbers"]:
    """Return the p x p patches of every tile in reading order, each as one row."""
    tiles, channels, height, width = pixel_values.shape
    rows, columns = height // p, width // p
    x = pixel_values[:, :, : rows * p, : columns * p].reshape(tiles, channels, rows, p, columns, p)
    return x.transpose(0, 2, 4, 1, 3, 5).reshape(tiles, rows * columns, channels * p * p)


def sliced(pixel_values: np.ndarray, p: int) -> np.ndarray:
    """Return the same by slices."""
    _, _, height, width = pixel_values.shape
    corners = [(y, x) for y in range(0, height - p + 1, p) for x in range(0, width - p + 1, p)]
    return np.stack(
        [pixel_values[:, :, y : y + p, x : x + p].reshape(len(pixel_values), -1) for y, x in corners], axis=1
    )


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    for shape, p in (
        ((1, 1, 2, 2), 1),
        ((1, 1, 2, 4), 2),
        ((1, 1, 4, 2), 2),
        ((1, 2, 2, 4), 2),
        ((1, 3, 4, 6), 2),
        ((2, 3, 6, 4), 2),
        ((2, 1, 5, 7), 2),
        ((2, 2, 3, 6), 3),
        ((1, 1, 5, 8), 3),
        ((2, 2, 7, 6), 4),
        ((2, 2, 4, 4), 2),
        ((3, 3, 9, 9), 3),
    ):
        yield {"pixel_values": np.arange(float(np.prod(shape))).reshape(shape), "p": p}
    yield {"pixel_values": rng.normal(size=(2, 3, 5, 7)).astype(np.float32), "p": 2}


EXERCISE = Exercise(
    answer=patches,
    expected=sliced,
    cases=cases,
    one_file="patch_embedding",
    minutes=10,
    hints=(
        "Split the height into (rows, p) and the width into (columns, p): six axes. Which come first in the result?",
        "The order is tiles, rows, columns, then channels and the two axes of p. A last reshape flattens.",
        "x.reshape(tiles, channels, rows, p, columns, p).transpose(0, 2, 4, 1, 3, 5)",
    ),
    wrong=(
        wrong(
            "a reshape alone",
            "A patch's pixels don't lie one after the other in memory. Transpose between the two reshapes.",
            (".transpose(0, 2, 4, 1, 3, 5)", ""),
        ),
        wrong(
            "column by column",
            "Reading order: the patches of the first row come first.",
            ("transpose(0, 2, 4, 1, 3, 5)", "transpose(0, 4, 2, 1, 3, 5)"),
        ),
        wrong(
            "channels last",
            "In a patch's row the channel comes first, as in the convolution's kernel.",
            ("transpose(0, 2, 4, 1, 3, 5)", "transpose(0, 2, 4, 3, 5, 1)"),
        ),
        wrong(
            "patches lying on their side",
            "Inside a patch, rows come before columns.",
            ("transpose(0, 2, 4, 1, 3, 5)", "transpose(0, 2, 4, 1, 5, 3)"),
        ),
        wrong(
            "every p-th pixel",
            "A patch is one piece of the tile: the axis of p comes after the axis of rows.",
            ("rows, p, columns, p)", "p, rows, p, columns)"),
            ("transpose(0, 2, 4, 1, 3, 5)", "transpose(0, 3, 5, 1, 2, 4)"),
        ),
        wrong(
            "patches of each channel apart",
            "A patch holds all channels.",
            ("transpose(0, 2, 4, 1, 3, 5)", "transpose(0, 1, 2, 4, 3, 5)"),
        ),
        wrong(
            "rows and columns exchanged",
            "rows come from the height, columns from the width.",
            ("rows, columns = height // p, width // p", "columns, rows = height // p, width // p"),
        ),
        wrong(
            "the rest not cut off",
            "A tile that p doesn't divide has pixels left over: cut them off first.",
            ("[:, :, : rows * p, : columns * p]", ""),
        ),
        wrong(
            "the rest cut off at the wrong end",
            "The pixels left over are those at the right and at the bottom.",
            ("[:, :, : rows * p, : columns * p]", "[:, :, height - rows * p :, width - columns * p :]"),
        ),
        wrong(
            "not flattened",
            "Each patch is one row of channels p p numbers.",
            (".reshape(tiles, rows * columns, channels * p * p)", ".reshape(tiles, rows * columns, channels, p, p)"),
        ),
        wrong(
            "the grid kept",
            "Patches are one axis, in reading order.",
            ("rows * columns, channels * p * p)", "rows, columns, channels * p * p)"),
        ),
        wrong(
            "tiles merged",
            "The patches of each tile stay together: the first axis is tiles.",
            (".reshape(tiles, rows * columns,", ".reshape(tiles * rows * columns,"),
        ),
        wrong(
            "cropped at the centre",
            "Pixels to the right and below are left out, none to the left or above.",
            (
                "pixel_values[:, :, : rows * p, : columns * p]",
                "pixel_values[:, :, (height - rows * p) // 2 :, (width - columns * p) // 2 :][:, :, : rows * p, : columns * p]",
            ),
        ),
    ),
    solution=(encoder.patch_embedding,),
    notice=(
        "the kernel (hidden, channels, p, p) is flattened in the same order, so the convolution is `linear(patches, "
        "kernel)`. The released models have p = 14 and tiles of 448: 32 x 32 patches of 588 numbers."
    ),
)
