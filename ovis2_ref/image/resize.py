"""Resize pictures of bytes, with the same bits as Pillow and as torch: two passes, each a matrix product.

A pass resizes one axis: out = clip(floor(W x + 1/2), 0, 255), where row i of W holds the fixed-point weights of output pixel i
(`filters`). Weights are integers times 2^-22 and pixels are bytes, so every product and every sum fits float64's 53 bits: the
matrix product is exact, whatever the order in which a BLAS or a GPU adds.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64, UInt8

from ovis2_ref.image.filters import FILTERS, PILLOW_BITS, Samples, Windows, fixed_point, torch_bits, windows
from ovis2_ref.runtime.arrays import Array, array_module, to_device
from ovis2_ref.runtime.bands import band_product

ORDERS = ("13", "12.2", "12.1")
"""The orders of passes that Pillow has had: those of 13, of 12.2 up to 12.x, and of 12.1 and before."""


def pillow_resize(
    picture: UInt8[Array, "channels height width"],
    size: tuple[int, int],
    resample: str = "bicubic",
    order: str = "13",
) -> UInt8[Array, "channels new_height new_width"]:
    """Resize `picture` to `size` (height, width) as Pillow's `Image.resize` does it on modes L and RGB.

    `resample` is one of nearest, box, bilinear, hamming, bicubic, lanczos. A pass over an axis that keeps its size is left out.
    `order` names the Pillow version whose order of passes is used: it matters, since the bytes between the passes are rounded.
    """
    if resample == "nearest":
        xp = array_module(picture)
        rows, columns = (to_device(_nearest(n, m), xp) for n, m in zip(picture.shape[1:], size, strict=True))
        return picture[:, rows[:, None], columns]
    bands = _bands(picture, size, resample, lambda weights: PILLOW_BITS)
    passes = (1, 2) if vertical_first(picture.shape[1:], size, order) else (2, 1)
    return _two_passes(picture, bands, passes)


def vertical_first(size_in: tuple[int, int], size_out: tuple[int, int], order: str) -> bool:
    """Return whether Pillow resizes the columns (the vertical pass) before the rows, going from (h, w) to (H, W).

    Pillow 13: when H < h and h - H > 2 (w - W). From 12.2 on: when H < h and h > 100 w. Up to 12.1: never.
    """
    (h, w), (H, W) = size_in, size_out
    if order == "13":
        return h > H and h - H > 2 * (w - W)
    return order == "12.2" and h > H and h > 100 * w


def torch_resize(
    picture: UInt8[Array, "channels height width"], size: tuple[int, int], resample: str = "bicubic"
) -> UInt8[Array, "channels new_height new_width"]:
    """Resize `picture` to `size` as torch's `interpolate(..., mode=resample, antialias=True)` does it on uint8 on a CPU.

    `resample` is bilinear or bicubic. Rows first (the horizontal pass), always.
    """
    bands = _bands(picture, size, resample, torch_bits)
    return _two_passes(picture, bands, (2, 1))


def _bands(picture: Array, size: tuple[int, int], resample: str, bits: Callable[[Samples], int]) -> dict[int, Windows]:
    """Return the windows of each axis that changes its size, with their weights in fixed point."""
    bands = {}
    for axis, (size_in, size_out) in enumerate(zip(picture.shape[1:], size, strict=True), start=1):
        if size_in != size_out:
            band = windows(size_in, size_out, FILTERS[resample])
            bands[axis] = band._replace(weights=fixed_point(band.weights, bits(band.weights)))
    return bands


def _two_passes(picture: Array, bands: dict[int, Windows], passes: tuple[int, int]) -> Array:
    for axis in passes:
        if axis in bands:
            picture = resample_axis(picture, bands[axis], axis)
    return picture


def to_bytes(sums: Float64[Array, "..."]) -> UInt8[Array, "..."]:
    """clip(floor(s + 1/2), 0, 255): clipped first, since converting to bytes truncates, which is the floor from 0 on."""
    return (sums + 0.5).clip(0.0, 255.0).astype(np.uint8)


def resample_axis(
    picture: UInt8[Array, "channels height width"], band: Windows, axis: int
) -> UInt8[Array, "channels new_height new_width"]:
    """Return W picture (axis 1, the vertical pass) or picture W^T (axis 2, the horizontal pass) in bytes, with W from `band`."""
    return band_product(band, picture, axis, to_bytes)


def _nearest(size_in: int, size_out: int) -> np.ndarray:
    """int((i + 1/2) s), by adding s again and again, as Pillow's loop does (Geometry.c, `ImagingScaleAffine`)."""
    scale = size_in / size_out
    steps = np.full(size_out, scale)
    steps[0] = scale * 0.5
    return np.minimum(np.cumsum(steps).astype(np.int64), size_in - 1)
