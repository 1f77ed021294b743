"""Resizing pictures of bytes, to the bit as Pillow and as torch do it: two passes, each a banded matrix product.

A pass resizes one axis: out = clip(floor(W x + 1/2), 0, 255), where row i of W holds the fixed-point weights of output pixel i
(`filters`). Weights are integers times 2^-22 and pixels are bytes, so every product and every sum fits float64's 53 bits: the
matrix product is exact, whatever the order in which a BLAS or a GPU adds.
"""

from types import ModuleType

import numpy as np
from jaxtyping import UInt8

from ovis2_ref.arrays import Array, array_module, to_device
from ovis2_ref.image.filters import FILTERS, PILLOW_BITS, Windows, fixed_point, torch_bits, windows

ORDERS = ("13", "12.2", "12.1")
"""The orders of passes that Pillow has had, named after the version that brought them; the last, after the last that has it."""

BLOCK_BYTES = 2**22
"""A block of float64 pixels that a pass works on: small enough for the cache, so that a pass needs no large temporary."""

OUTPUTS = 24
"""Output pixels of one block of W. Wider blocks waste more of the band's corners, narrower ones call the product more often."""


def pillow_resize(
    picture: UInt8[Array, "channels height width"],
    size: tuple[int, int],
    resample: str = "bicubic",
    order: str = "13",
) -> UInt8[Array, "channels new_height new_width"]:
    """`picture` resized to `size` (height, width) as Pillow's `Image.resize` does it on modes L and RGB.

    `resample` is one of nearest, box, bilinear, hamming, bicubic, lanczos. A pass over an axis that keeps its size is left out.
    `order` says which Pillow's order of passes, since the bytes between the passes are rounded: they are not interchangeable.
    """
    if resample == "nearest":
        return _take(picture, *(_pillow_nearest(n, m) for n, m in zip(picture.shape[1:], size, strict=True)))
    bands = {}
    for axis, (n, m) in enumerate(zip(picture.shape[1:], size, strict=True), start=1):
        if n != m:
            band = windows(n, m, FILTERS[resample])
            bands[axis] = band._replace(weights=fixed_point(band.weights, PILLOW_BITS))
    passes = (1, 2) if vertical_first(picture.shape[1:], size, order) else (2, 1)
    return _two_passes(picture, bands, passes)


def vertical_first(size_in: tuple[int, int], size_out: tuple[int, int], order: str) -> bool:
    """Whether Pillow resizes the columns (the vertical pass) before the rows, going from (h, w) to (H, W).

    Pillow 13: when H < h and h - H > 2 (w - W). From 12.2 on: when H < h and h > 100 w. Up to 12.1: never.
    """
    (h, w), (H, W) = size_in, size_out
    if order == "13":
        return h > H and h - H > 2 * (w - W)
    return order == "12.2" and h > H and h > 100 * w


def torch_resize(
    picture: UInt8[Array, "channels height width"], size: tuple[int, int], resample: str = "bicubic"
) -> UInt8[Array, "channels new_height new_width"]:
    """`picture` resized to `size` as torch's `interpolate(..., mode=resample, antialias=True)` does it on uint8 on a CPU.

    `resample` is bilinear, bicubic, or nearest (torch's "nearest-exact"). Rows first, always.
    """
    if resample == "nearest":
        return _take(picture, *(_torch_nearest(n, m) for n, m in zip(picture.shape[1:], size, strict=True)))
    bands = {}
    for axis, (n, m) in enumerate(zip(picture.shape[1:], size, strict=True), start=1):
        if n != m:
            band = windows(n, m, FILTERS[resample])
            bands[axis] = band._replace(weights=fixed_point(band.weights, torch_bits(band.weights)))
    return _two_passes(picture, bands, (2, 1))


def _two_passes(picture: Array, bands: dict[int, Windows], passes: tuple[int, int]) -> Array:
    for axis in passes:
        if axis in bands:
            picture = resample_axis(picture, bands[axis], axis)
    return picture


def resample_axis(picture: UInt8[Array, "channels height width"], band: Windows, axis: int) -> UInt8[Array, "c h w"]:
    """One pass: `picture` with axis 1 (the vertical pass) or 2 (the horizontal one) resized by the windows of `band`.

    Works through blocks of the other axis and of the output, so beside its result it needs some `BLOCK_BYTES` only.
    """
    xp = array_module(picture)
    channels, height, width = picture.shape
    blocks = [(lo, hi, start, to_device(block, xp)) for lo, hi, start, block in _blocks(band)]
    size_out = len(band.first)
    out = xp.empty((channels, size_out, width) if axis == 1 else (channels, height, size_out), np.uint8)
    other = width if axis == 1 else height
    step = max(1, BLOCK_BYTES // (8 * band.size_in))
    for channel in range(channels):
        for begin in range(0, other, step):
            part = slice(begin, begin + step)
            if axis == 1:
                pixels = picture[channel, :, part].astype(np.float64)
                for lo, hi, start, block in blocks:
                    out[channel, lo:hi, part] = _to_bytes(block @ pixels[start : start + block.shape[1]], xp)
            else:
                pixels = picture[channel, part].astype(np.float64)
                for lo, hi, start, block in blocks:
                    out[channel, part, lo:hi] = _to_bytes(pixels[:, start : start + block.shape[1]] @ block.T, xp)
    return out


def _to_bytes(sums: Array, xp: ModuleType) -> Array:
    sums += 0.5
    return xp.clip(sums, 0.0, 255.0, out=sums).astype(np.uint8)


def _blocks(band: Windows) -> list[tuple[int, int, int, np.ndarray]]:
    """W cut into dense blocks: outputs lo to hi, and the weights (hi - lo, inputs) on the inputs from `start` on."""
    blocks = []
    taps = np.arange(band.weights.shape[1])
    for lo in range(0, len(band.first), OUTPUTS):
        first, weights = band.first[lo : lo + OUTPUTS], band.weights[lo : lo + OUTPUTS]
        start = int(first[0])
        block = np.zeros((len(first), int(first[-1]) - start + len(taps)))
        block[np.arange(len(first))[:, None], first[:, None] - start + taps] = weights
        blocks.append((lo, lo + len(first), start, block[:, : band.size_in - start]))
    return blocks


def _take(picture: Array, rows: np.ndarray, columns: np.ndarray) -> Array:
    xp = array_module(picture)
    return picture[:, to_device(rows, xp)[:, None], to_device(columns, xp)]


def _pillow_nearest(size_in: int, size_out: int) -> np.ndarray:
    """int((i + 1/2) s), by adding s again and again, as Pillow's loop does (Geometry.c, `ImagingScaleAffine`)."""
    scale = size_in / size_out
    steps = np.full(size_out, scale)
    steps[0] = scale * 0.5
    return np.minimum(np.cumsum(steps).astype(np.int64), size_in - 1)


def _torch_nearest(size_in: int, size_out: int) -> np.ndarray:
    """floor((i + 1/2) s) with s and the product in float32, as torch's "nearest-exact" has it."""
    scale = np.float32(size_in) / np.float32(size_out)
    source = ((np.arange(size_out) + 0.5) * np.float64(scale)).astype(np.float32)
    return np.minimum(source.astype(np.int64), size_in - 1)
