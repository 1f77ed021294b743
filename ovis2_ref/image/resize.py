"""Resizing pictures of bytes, to the bit as Pillow and as torch do it: two passes, each a banded matrix product.

A pass resizes one axis: out = clip(floor(W x + 1/2), 0, 255), where row i of W holds the fixed-point weights of output pixel i
(`filters`). Weights are integers times 2^-22 and pixels are bytes, so every product and every sum fits float64's 53 bits: the
matrix product is exact, whatever the order in which a BLAS or a GPU adds.
"""

from collections.abc import Callable, Iterator
from types import ModuleType

import numpy as np
from jaxtyping import UInt8

from ovis2_ref.image.filters import FILTERS, PILLOW_BITS, Samples, Windows, fixed_point, torch_bits, windows
from ovis2_ref.runtime.arrays import Array, array_module, to_device

ORDERS = ("13", "12.2", "12.1")
"""The orders of passes that Pillow has had, named after the version that brought them; the last, after the last that has it."""

BLOCK_BYTES = 2**23
"""What a block of pixels takes as float64: the only large temporary of a pass."""

BLOCK_WINDOW = 64
"""Input pixels under a block of W, about: wider ones waste more of the band's corners, narrower ones call more products."""


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
        xp = array_module(picture)
        rows, columns = (to_device(_nearest(n, m), xp) for n, m in zip(picture.shape[1:], size, strict=True))
        return picture[:, rows[:, None], columns]
    bands = _bands(picture, size, resample, lambda weights: PILLOW_BITS)
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

    `resample` is bilinear or bicubic. Rows first (the horizontal pass), always.
    """
    bands = _bands(picture, size, resample, torch_bits)
    return _two_passes(picture, bands, (2, 1))


def _bands(picture: Array, size: tuple[int, int], resample: str, bits: Callable[[Samples], int]) -> dict[int, Windows]:
    """The windows of each axis that changes its size, with their weights in fixed point."""
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


def resample_axis(
    picture: UInt8[Array, "channels height width"], band: Windows, axis: int
) -> UInt8[Array, "channels new_height new_width"]:
    """One pass: `picture` with axis 1 (the vertical pass) or 2 (the horizontal one) resized by the windows of `band`.

    Works through blocks of the other axis and of the output, so beside its result it needs some `BLOCK_BYTES` only.
    """
    xp = array_module(picture)
    blocks = [(lo, hi, start, stop, to_device(block, xp)) for lo, hi, start, stop, block in _blocks(band, axis)]
    shape = list(picture.shape)
    shape[axis] = len(band.first)
    out = xp.empty(tuple(shape), np.uint8)
    step = max(1, BLOCK_BYTES // (8 * picture.shape[axis]))
    for channel in range(picture.shape[0]):
        for begin in range(0, picture.shape[3 - axis], step):
            part = slice(begin, begin + step)
            if axis == 1:
                pixels = picture[channel, :, part].astype(np.float64)
                for lo, hi, start, stop, block in blocks:
                    out[channel, lo:hi, part] = _to_bytes(block @ pixels[start:stop], xp)
            else:
                pixels = picture[channel, part].astype(np.float64)
                for lo, hi, start, stop, block in blocks:
                    out[channel, part, lo:hi] = _to_bytes(pixels[:, start:stop] @ block, xp)
    return out


def _to_bytes(sums: Array, xp: ModuleType) -> Array:
    """clip(floor(s + 1/2), 0, 255): clipped first, since converting to bytes truncates, which is the floor from 0 on."""
    sums += 0.5
    return xp.clip(sums, 0.0, 255.0, out=sums).astype(np.uint8)


def _blocks(band: Windows, axis: int) -> Iterator[tuple[int, int, int, int, np.ndarray]]:
    """W cut into dense blocks: outputs lo to hi, inputs start to stop, and their weights (transposed for axis 2)."""
    size_out, taps = band.weights.shape
    outputs = min(16, max(8, BLOCK_WINDOW * size_out // band.size_in))
    for lo in range(0, size_out, outputs):
        first, weights = band.first[lo : lo + outputs], band.weights[lo : lo + outputs]
        start, stop = int(first[0]), min(int(first[-1]) + taps, band.size_in)
        block = np.zeros((len(first), int(first[-1]) - start + taps))
        block[np.arange(len(first))[:, None], first[:, None] - start + np.arange(taps)] = weights
        block = block[:, : stop - start]
        yield lo, lo + len(first), start, stop, np.ascontiguousarray(block if axis == 1 else block.T)


def _nearest(size_in: int, size_out: int) -> np.ndarray:
    """int((i + 1/2) s), by adding s again and again, as Pillow's loop does (Geometry.c, `ImagingScaleAffine`)."""
    scale = size_in / size_out
    steps = np.full(size_out, scale)
    steps[0] = scale * 0.5
    return np.minimum(np.cumsum(steps).astype(np.int64), size_in - 1)
