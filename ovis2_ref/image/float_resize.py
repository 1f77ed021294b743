"""Resize pictures of floats as torch does: the windows of `filters`, in the pictures' own type, without rounding to levels.

out[i] = w[i, 0] x[first_i] + w[i, 1] x[first_i + 1] + ..., added up in that order, columns (the horizontal pass) first.
Source: torch, aten/src/ATen/native/cpu/UpSampleKernel.cpp, `HelperInterpBase::_compute_indices_min_size_weights_aa`.
"""

import numpy as np
from jaxtyping import Float, Int64, Shaped

from ovis2_ref.errors import InputError
from ovis2_ref.image.filters import FILTERS, Filter

TORCH_FILTERS = ("nearest", "bilinear", "bicubic", "lanczos")
"""The filters that torch has; it calls the first nearest-exact."""


def check_torch_filter(name: str) -> None:
    """Raise `InputError` for a filter that torch doesn't have."""
    if name not in TORCH_FILTERS:
        raise InputError(f"the torch processor has no filter {name!r}: use one of {', '.join(TORCH_FILTERS)}")


def torch_resize_floats(
    picture: Float[np.ndarray, "channels height width"], size: tuple[int, int], resample: str = "bicubic"
) -> Float[np.ndarray, "channels new_height new_width"]:
    """Resize `picture` to `size` (height, width) as torch's `interpolate(..., mode=resample, antialias=True)` does it.

    Each number equals torch's up to the rounding of its sum, which torch may compute with fused multiplications. For a result one
    pixel wide torch 2.13 reads pixels of other rows; here it is right.
    """
    for axis in (2, 1):
        picture = np.moveaxis(_resize_last(np.moveaxis(picture, axis, -1), size[axis - 1], FILTERS[resample]), -1, axis)
    return picture


def torch_nearest(
    picture: Shaped[np.ndarray, "channels height width"], size: tuple[int, int]
) -> Shaped[np.ndarray, "channels new_height new_width"]:
    """Take pixel int((i + 1/2) in / out) for output pixel i, scale and product in float32 (torch's mode nearest-exact)."""
    rows, columns = (
        np.minimum(
            ((np.arange(m) + 0.5) * float(np.float32(n) / np.float32(m))).astype(np.float32).astype(np.int64), n - 1
        )
        for n, m in zip(picture.shape[1:], size, strict=True)
    )
    return picture[:, rows[:, None], columns]


def _resize_last(
    x: Float[np.ndarray, "*rows size_in"], size_out: int, kernel: Filter
) -> Float[np.ndarray, "*rows out"]:
    """Return the last axis resized: one multiplication and one addition for each tap of the windows."""
    first, weights = float_windows(x.shape[-1], size_out, kernel, x.dtype)
    last = x.shape[-1] - 1
    out = x[..., first] * weights[:, 0]
    for tap in range(1, weights.shape[1]):
        out += x[..., np.minimum(first + tap, last)] * weights[:, tap]
    return out


def float_windows(
    size_in: int, size_out: int, kernel: Filter, dtype: np.dtype
) -> tuple[Int64[np.ndarray, " out"], Float[np.ndarray, "out taps"]]:
    """Return for each output pixel the first input pixel and the weights from there on, 0 past the end.

    Each step is computed in float64, where a 1/2 is added, and kept in `dtype`.
    """
    scale = float(dtype.type(size_in) / dtype.type(size_out))
    stretch = max(scale, 1.0)
    support = float(dtype.type(kernel.support * stretch))
    centre = (scale * (np.arange(size_out) + 0.5)).astype(dtype)
    begin, end = ((centre + dtype.type(side)).astype(np.float64) + 0.5 for side in (-support, support))
    first = np.maximum(begin.astype(np.int64), 0)
    last = np.minimum(end.astype(np.int64), size_in)
    index = first[:, None] + np.arange((last - first).max())
    distance = (index.astype(dtype) - centre[:, None]).astype(np.float64) + 0.5
    distance = (distance * float(dtype.type(1 / stretch))).astype(dtype).astype(np.float64)
    weights = kernel.value(distance).astype(dtype)
    weights[index >= last[:, None]] = 0
    return first, weights / np.cumsum(weights, axis=1, dtype=dtype)[:, -1:]
