"""The operations on pictures in which transformers' two processors, on Pillow and on torch, differ: a small object for each."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ovis2_ref.image.float_resize import check_torch_filter, torch_nearest, torch_resize_floats
from ovis2_ref.image.limits import check_passes
from ovis2_ref.image.options import ImageOptions
from ovis2_ref.image.pictures import OnWhite, Picture, as_levels, pillow_on_white, torch_on_white
from ovis2_ref.image.resize import pillow_resize, torch_resize, vertical_first
from ovis2_ref.image.values import pillow_values, torch_values


class PictureOperations(NamedTuple):
    """The functions that differ between the processors; each function's docstring says what it computes."""

    resize: Callable[[Picture, tuple[int, int], ImageOptions], tuple[Picture, bool]]
    values: Callable[..., np.ndarray]
    crop_offset: Callable[[int, int], int]
    on_white: OnWhite


def resize_levels_pillow(picture: Picture, size: tuple[int, int], options: ImageOptions) -> tuple[Picture, bool]:
    """Return the levels of `picture`, resized, and whether they are floats from 0 to 1, scaled (see `as_levels`)."""
    levels, scaled = as_levels(picture)
    (h, w), (H, W) = levels.shape[1:], size
    check_passes((H, w) if vertical_first((h, w), size, options.pillow) else (h, W))
    return pillow_resize(levels, size, options.filter, options.pillow), scaled


def resize_levels_torch(picture: Picture, size: tuple[int, int], options: ImageOptions) -> tuple[Picture, bool]:
    """Return the levels of `picture`, resized, and False (see `as_levels`); floats stay floats, other integers than bytes are
    rounded.

    Raises `InputError` for a filter that torch doesn't have.
    """
    check_torch_filter(options.filter)
    if options.filter == "nearest":
        return torch_nearest(picture, size), False
    check_passes((picture.shape[1], size[1]))
    if picture.dtype == np.uint8:
        return torch_resize(picture, size, options.filter), False
    if picture.dtype in (np.float32, np.float64):
        return torch_resize_floats(picture, size, options.filter), False
    resized = torch_resize_floats(picture.astype(np.float32), size, options.filter)
    return (resized if picture.dtype.kind == "f" else np.round(resized)).astype(picture.dtype), False


PILLOW = PictureOperations(resize_levels_pillow, pillow_values, lambda size, crop: (size - crop) // 2, pillow_on_white)
TORCH = PictureOperations(
    resize_levels_torch, torch_values, lambda size, crop: int((size - crop) / 2.0), torch_on_white
)
"""`crop_offset(size, crop)` is where a centre crop begins, below 0 where the picture is smaller: one rounds down, one to 0."""


def center_crop(picture: Picture, size: tuple[int, int], operations: PictureOperations) -> Picture:
    """Return the `size` (height, width) in the middle of `picture`, with zeros where the picture is smaller."""
    cropped = np.zeros((len(picture), *size), picture.dtype)
    source, target = [slice(None)], [slice(None)]
    for have, want in zip(picture.shape[1:], size, strict=True):
        offset = operations.crop_offset(have, want)
        source.append(slice(max(offset, 0), min(offset + want, have)))
        target.append(slice(max(-offset, 0), max(-offset, 0) + min(want, have)))
    cropped[tuple(target)] = picture[tuple(source)]
    return cropped
