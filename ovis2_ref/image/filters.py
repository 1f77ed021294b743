"""Resampling filters, and the windows of weights that they give one axis of a picture.

Every output pixel is a weighted mean of the input pixels under its window. With in and out the two sizes, s = in / out,
t = max(s, 1) and f a filter of support r, output pixel i sits at c = (i + 1/2) s, and

    w[i, j] = f((j - c + 1/2) / t) / sum_j f((j - c + 1/2) / t),    int(c - r t + 1/2) <= j < int(c + r t + 1/2).

A picture that shrinks stretches the filter (t > 1), which is what "antialias" means. Source: Pillow, src/libImaging/Resample.c;
torch's `interpolate(..., antialias=True)` uses the same windows and filters. All of it is computed in float64, on the host.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

Samples = Float64[np.ndarray, "out taps"]


class Filter(NamedTuple):
    """A filter's support (it is zero beyond it) and its value at the distance x from the centre."""

    support: float
    value: Callable[[Samples], Samples]


class Windows(NamedTuple):
    """For every output pixel of one axis: the first input pixel, and the weights of it and its successors, 0 past the end."""

    first: Int64[np.ndarray, " out"]
    weights: Float64[np.ndarray, "out taps"]
    size_in: int

    def matrix(self) -> Float64[np.ndarray, "out in"]:
        """Return the whole matrix W of the pass (out x in numbers, nearly all 0), to draw it (`draw.draw_weights`)."""
        dense = np.zeros((len(self.first), self.size_in + self.weights.shape[1]))
        taps = self.first[:, None] + np.arange(self.weights.shape[1])
        np.put_along_axis(dense, taps, self.weights, axis=1)
        return dense[:, : self.size_in]


def box(x: Samples) -> Samples:
    """1 for -1/2 < x <= 1/2."""
    return ((x > -0.5) & (x <= 0.5)).astype(np.float64)


def bilinear(x: Samples) -> Samples:
    """1 - |x| for |x| < 1."""
    return np.maximum(1.0 - np.abs(x), 0.0)


def hamming(x: Samples) -> Samples:
    """sinc(x) (0.54 + 0.46 cos(pi x)) for |x| < 1. The two constants are float32 in Pillow."""
    angle = np.abs(x) * np.pi
    window = np.float64(np.float32(0.54)) + np.float64(np.float32(0.46)) * np.cos(angle)
    return np.where(np.abs(x) < 1.0, _sinc(x) * window, 0.0)


def bicubic(x: Samples) -> Samples:
    """Keys' cubic (1981) with a = -1/2: (a+2)|x|^3 - (a+3)x^2 + 1 up to 1, a|x|^3 - 5a x^2 + 8a|x| - 4a up to 2."""
    a = -0.5
    x = np.abs(x)
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


def lanczos(x: Samples) -> Samples:
    """sinc(x) sinc(x / 3) for -3 <= x < 3."""
    return np.where((x >= -3.0) & (x < 3.0), _sinc(x) * _sinc(x / 3), 0.0)


def _sinc(x: Samples) -> Samples:
    angle = np.where(x == 0.0, 1.0, x * np.pi)
    return np.where(x == 0.0, 1.0, np.sin(angle) / angle)


FILTERS = {
    "box": Filter(0.5, box),
    "bilinear": Filter(1.0, bilinear),
    "hamming": Filter(1.0, hamming),
    "bicubic": Filter(2.0, bicubic),
    "lanczos": Filter(3.0, lanczos),
}


def windows(size_in: int, size_out: int, kernel: Filter) -> Windows:
    """Return the windows w[i, j] that resize an axis of `size_in` pixels to `size_out`, by the module's formula.

    `taps`, the width of the widest window, is at most 2 r t + 2: the weights number 2 r (in + out) + 2 out at most.
    """
    scale = size_in / size_out
    stretch = max(scale, 1.0)
    support = kernel.support * stretch
    centre = (np.arange(size_out) + 0.5) * scale
    first = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + support + 0.5).astype(np.int64), size_in)
    index = first[:, None] + np.arange((last - first).max())
    weights = kernel.value((index - centre[:, None] + 0.5) * (1.0 / stretch))
    weights[index >= last[:, None]] = 0.0
    # The C loop adds from left to right; cumsum does too, where sum adds pairs and may differ in the last bit.
    total = np.cumsum(weights, axis=1)[:, -1:]
    return Windows(first, np.divide(weights, total, where=total != 0.0, out=weights), size_in)


def fixed_point(weights: Samples, bits: int) -> Samples:
    """Return `weights` rounded to multiples of 2^-bits, halves away from zero (they stay float64, which holds them exactly)."""
    scaled = np.ldexp(weights, bits)
    return np.ldexp(np.trunc(scaled + np.copysign(0.5, scaled)), -bits)


PILLOW_BITS = 22
"""Fractional bits of Pillow's weights: 32 less 8 for the pixel and 2 for what negative lobes overshoot."""


def torch_bits(weights: Samples) -> int:
    """Return the fractional bits of torch's weights: as many as let the largest weight fit int16, 22 at most.

    The largest p <= 22 with int(max(w) 2^p + 1/2) < 2^15. Source: torch, aten/src/ATen/native/cpu/UpSampleKernel.cpp,
    `_compute_index_ranges_int16_weights`.
    """
    largest = weights.max()
    bits = 0
    while bits < PILLOW_BITS and int(0.5 + largest * 2 ** (bits + 1)) < 2**15:
        bits += 1
    return bits
