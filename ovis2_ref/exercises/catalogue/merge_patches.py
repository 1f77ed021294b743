"""Merge neighbouring patches.

The ViT's features are one row for each patch. The visual tokenizer lays the features of each stride x stride square of
patches side by side, so that there are stride^2 times fewer visual tokens, each with stride^2 times the features. The
squares come in reading order, and so do the patches inside a square. With stride 2:

    patches    0  1  2  3        tokens    [0 1 4 5]    [2 3 6 7]
               4  5  6  7                  [8 9 12 13]  [10 11 14 15]
               8  9 10 11
              12 13 14 15
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong
from ovis2_ref.vision import visual_tokenizer


def merge_patches(
    features: Float[np.ndarray, "tiles patches hidden"], stride: int
) -> Float[np.ndarray, "tiles tokens numbers"]:
    """Return the features of every square side by side. The patches form a square grid whose side `stride` divides."""
    tiles, patches, hidden = features.shape
    side = round(patches**0.5)
    merged = side // stride
    x = features.reshape(tiles, merged, stride, merged, stride, hidden)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(tiles, merged * merged, stride * stride * hidden)


def project(features: np.ndarray, stride: int) -> np.ndarray:
    return visual_tokenizer.merge_patches(features, stride)


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    for tiles, side, hidden, stride in (
        (1, 2, 1, 1),
        (1, 2, 1, 2),
        (1, 4, 1, 2),
        (1, 2, 2, 2),
        (2, 4, 2, 2),
        (2, 6, 3, 2),
        (1, 6, 2, 3),
        (2, 3, 2, 1),
        (3, 4, 4, 4),
        (1, 30, 1, 1),
    ):
        shape = (tiles, side * side, hidden)
        yield {"features": np.arange(float(np.prod(shape))).reshape(shape), "stride": stride}
    yield {"features": rng.normal(size=(2, 36, 3)).astype(np.float32), "stride": 3}


EXERCISE = Exercise(
    answer=merge_patches,
    expected=project,
    cases=cases,
    one_file="merge_patches",
    minutes=10,
    hints=(
        "Give the patches their grid back, and split both its sides as you did when cutting patches.",
        "Six axes: tiles, merged, stride, merged, stride, hidden. The two of stride come together, next to hidden.",
        "features.reshape(tiles, merged, stride, merged, stride, hidden).transpose(0, 1, 3, 2, 4, 5)",
    ),
    wrong=(
        wrong(
            "a reshape alone",
            "That merges patches of one row. The neighbours below belong to the square, too.",
            (".transpose(0, 1, 3, 2, 4, 5)", ""),
        ),
        wrong(
            "column by column inside",
            "Inside a square the patches come in reading order.",
            ("transpose(0, 1, 3, 2, 4, 5)", "transpose(0, 1, 3, 4, 2, 5)"),
        ),
        wrong(
            "column by column outside",
            "The squares come in reading order.",
            ("transpose(0, 1, 3, 2, 4, 5)", "transpose(0, 3, 1, 2, 4, 5)"),
        ),
        wrong(
            "transposed grid",
            "Rows before columns, inside a square and outside.",
            ("transpose(0, 1, 3, 2, 4, 5)", "transpose(0, 3, 1, 4, 2, 5)"),
        ),
        wrong(
            "features interleaved",
            "The features of a patch stay together: hidden is the last axis.",
            ("transpose(0, 1, 3, 2, 4, 5)", "transpose(0, 1, 3, 5, 2, 4)"),
        ),
        wrong(
            "every n-th patch",
            "A square is made of neighbours: the axis of stride comes after the axis of merged.",
            ("merged, stride, merged, stride, hidden)", "stride, merged, stride, merged, hidden)"),
            ("transpose(0, 1, 3, 2, 4, 5)", "transpose(0, 2, 4, 1, 3, 5)"),
        ),
        wrong(
            "the mean of a square",
            "Nothing is averaged: the features are laid side by side.",
            (
                "return x.transpose(0, 1, 3, 2, 4, 5).reshape(tiles, merged * merged, stride * stride * hidden)",
                "return x.mean(axis=(2, 4)).reshape(tiles, merged * merged, hidden)",
            ),
        ),
        wrong(
            "the sum of a square",
            "Nothing is added: the features are laid side by side.",
            (
                "return x.transpose(0, 1, 3, 2, 4, 5).reshape(tiles, merged * merged, stride * stride * hidden)",
                "return x.sum(axis=(2, 4)).reshape(tiles, merged * merged, hidden)",
            ),
        ),
        wrong(
            "the upper left patch alone",
            "All stride^2 patches go into the token.",
            (
                "return x.transpose(0, 1, 3, 2, 4, 5).reshape(tiles, merged * merged, stride * stride * hidden)",
                "return x[:, :, 0, :, 0].reshape(tiles, merged * merged, hidden)",
            ),
        ),
        wrong(
            "identity",
            "The features come back as they were.",
            (
                "return x.transpose(0, 1, 3, 2, 4, 5).reshape(tiles, merged * merged, stride * stride * hidden)",
                "return features",
            ),
        ),
        wrong(
            "tiles merged",
            "Each tile keeps its own tokens.",
            (".reshape(tiles, merged * merged,", ".reshape(tiles * merged * merged,"),
        ),
    ),
    solution=(visual_tokenizer.merge_patches,),
    notice=(
        "a grid that the stride doesn't divide gets zeros at its right and bottom first. transformers means to do so as"
        " well, but pads other axes. A tile of 32 x 32 patches becomes 16 x 16 = 256 visual tokens."
    ),
)
