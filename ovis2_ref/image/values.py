"""Rescale and normalise levels (bytes, 0 to 255) to pixel values, in each program's own order of operations.

A byte has 256 values, so the formula is computed once for each and looked up, with the same bits as computing it per pixel.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from ovis2_ref.errors import InputError

Statistic = float | Sequence[float]


def pillow_values(
    pixels: np.ndarray, rescale_factor: float | None, mean: Statistic | None, std: Statistic | None
) -> np.ndarray:
    """r = float32(float64(x) f), then (r - mean) / std in r's type. Source: transformers' `rescale` and `normalize` (NumPy).

    `rescale_factor` None leaves out the first, `mean` None the second.
    """
    if rescale_factor is not None:
        pixels = (pixels.astype(np.float64) * rescale_factor).astype(np.float32)
    if mean is None or std is None:
        return pixels
    if pixels.dtype.kind != "f":
        pixels = pixels.astype(np.float32)
    return (pixels - per_channel(mean, pixels, "image_mean")) / per_channel(std, pixels, "image_std")


def torch_values(
    pixels: np.ndarray, rescale_factor: float | None, mean: Statistic | None, std: Statistic | None
) -> np.ndarray:
    """(float32(x) - m) / s with m = mean (1 / f) and s = std (1 / f), all float32: both steps fused into one.

    `mean` None leaves x f, `rescale_factor` None has m = mean and s = std. Source: transformers 5's `rescale_and_normalize`.
    """
    if mean is None or std is None:
        return pixels if rescale_factor is None else torch_product(pixels, rescale_factor)
    values = pixels.astype(np.float32)
    centre, spread = per_channel(mean, values, "image_mean"), per_channel(std, values, "image_std")
    if rescale_factor is not None:
        factor = np.float32(1.0 / rescale_factor)
        centre, spread = centre * factor, spread * factor
    return (values - centre) / spread


def torch_product(pixels: np.ndarray, factor: float) -> np.ndarray:
    """Return a tensor times a Python number: in the tensor's own type if that is a float, else in float32."""
    values = pixels if pixels.dtype.kind == "f" else pixels.astype(np.float32)
    return values * values.dtype.type(factor)


def per_channel(statistic: Statistic, pixels: np.ndarray, name: str) -> Float[np.ndarray, "channels 1 1"]:
    """Return a mean or a deviation for each channel, in the pixels' type. Raises `InputError` if their numbers differ."""
    numbers = np.array(statistic, dtype=pixels.dtype)
    if numbers.ndim and numbers.shape != (len(pixels),):
        raise InputError(f"{name} has {len(numbers)} numbers and the picture {len(pixels)} channels")
    return np.broadcast_to(numbers, len(pixels))[:, None, None]


def every_level(channels: int) -> UInt8[np.ndarray, "channels 1 256"]:
    """Return a picture that holds every level once in every channel; its pixel values are the table for `look_up`."""
    return np.broadcast_to(np.arange(256, dtype=np.uint8), (channels, 1, 256))


def look_up(levels: UInt8[np.ndarray, "channels height width"], table: np.ndarray, out: np.ndarray) -> None:
    """Return out[c, y, x] = table[c, 0, levels[c, y, x]]."""
    for channel, row in enumerate(table[:, 0]):
        if out.flags.c_contiguous:
            # `take` writes without a copy into a contiguous `out` of its own type, in a mode that can't fail midway.
            np.take(row, levels[channel], out=out[channel], mode="clip")
        else:
            out[channel] = row[levels[channel]]


def unscaled(levels: UInt8[np.ndarray, "channels height width"]) -> np.ndarray:
    """Return float32(float64(level) (1 / 255)), the floats from 0 to 1 of levels that were scaled, as in transformers'
    `resize`.
    """
    return (levels.astype(np.float64) * (1 / 255)).astype(np.float32)


def middle_slice(whole: int, part: int) -> slice:
    """Return the slice of `part` pixels in the middle of `whole`, one nearer to the start if the rest is odd."""
    start = (whole - part) // 2
    return slice(start, start + part)
