"""From levels to pixel values.

A picture's levels are bytes from 0 to 255. The model wants small numbers around 0: rescale by a factor (1 / 255), then
subtract each channel's mean and divide by its standard deviation.

    value = (factor level - mean_c) / std_c

White in Ovis2's first channel: (1 - 0.481) / 0.269 = 1.93. Its means and deviations are those of CLIP.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, UInt8

from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong
from ovis2_ref.image import values


def pixel_values(
    levels: UInt8[np.ndarray, "channels height width"],
    factor: float,
    mean: Float[np.ndarray, " channels"],
    std: Float[np.ndarray, " channels"],
) -> Float[np.ndarray, "channels height width"]:
    """Return the rescaled and normalised levels as float32."""
    rescaled = levels * np.float32(factor)
    return (rescaled - mean[:, None, None]) / std[:, None, None]


def project(levels: np.ndarray, factor: float, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    return values.pillow_values(levels, factor, mean.tolist(), std.tolist())


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    for shape in ((1, 1, 1), (1, 2, 2), (3, 1, 2), (2, 2, 2), (3, 3, 3), (3, 2, 5), (3, 4, 3)):
        mean, std = (rng.uniform(0.2, 0.6, shape[0]).astype(np.float32) for _ in range(2))
        levels = rng.integers(0, 256, shape, dtype=np.uint8)
        yield {"levels": levels, "factor": 1 / 255, "mean": mean, "std": std}
    yield {"levels": levels, "factor": 1 / 100, "mean": mean, "std": std}


EXERCISE = Exercise(
    answer=pixel_values,
    expected=project,
    cases=cases,
    one_file="pillow_values",
    minutes=8,
    hints=(
        "The formula goes number by number: which shape must mean have to meet its channel?",
        "mean has the shape (channels,); NumPy lines up axes from the right, so give it two more.",
        "(levels * np.float32(factor) - mean[:, None, None]) / std[:, None, None]",
    ),
    wrong=(
        wrong(
            "no rescaling",
            "mean and std are those of numbers from 0 to 1: rescale first.",
            (" * np.float32(factor)", ""),
        ),
        wrong("no mean", "Subtract each channel's mean.", (" - mean[:, None, None]", "")),
        wrong("no deviation", "Divide by each channel's standard deviation.", (" / std[:, None, None]", "")),
        wrong(
            "the variance for the deviation",
            "std is the deviation itself, not its square or root.",
            (" / std[:, None, None]", " / std[:, None, None] ** 2"),
        ),
        wrong("multiplied by the deviation", "Divide by std.", ("/ std", "* std")),
        wrong(
            "a mean for each column",
            "NumPy lines up axes from the right: mean of shape (channels,) meets the width, and fits by chance where "
            "the two are equal. Give it two more axes.",
            ("mean[:, None, None]", "mean"),
            ("std[:, None, None]", "std"),
        ),
        wrong(
            "a mean for each row",
            "The channels are the first of three axes: mean needs two new axes behind it.",
            ("mean[:, None, None]", "mean[:, None]"),
            ("std[:, None, None]", "std[:, None]"),
        ),
        wrong(
            "channels in reverse",
            "mean[0] belongs to channel 0: the order is red, green, blue in both.",
            ("mean[:, None, None]", "mean[::-1, None, None]"),
            ("std[:, None, None]", "std[::-1, None, None]"),
        ),
        wrong(
            "float64 by accident",
            "A byte times a float32 is a float32; times a float64, a float64.",
            ("levels * np.float32(factor)", "levels * np.float64(factor)"),
        ),
        wrong(
            "rescaled after normalising",
            "First factor * level, then the mean.",
            (" * np.float32(factor)", ""),
            (
                "(rescaled - mean[:, None, None]) / std[:, None, None]",
                "(rescaled - mean[:, None, None]) / std[:, None, None] * np.float32(factor)",
            ),
        ),
        wrong(
            "-1 to 1",
            "That is another model's normalisation; mean and std are given here.",
            ("(rescaled - mean[:, None, None]) / std[:, None, None]", "rescaled * 2 - 1"),
        ),
    ),
    solution=(values.pillow_values,),
    notice=(
        "transformers multiplies in float64 and rounds to float32 before the mean is subtracted; the torch processor "
        "fuses both steps and rounds elsewhere. A byte has 256 values, so the project computes a table once and looks "
        "the pixels up."
    ),
)
