"""The two programs' arithmetic of pictures, each as one small object: transformers' processor on Pillow, and the one on torch."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ovis2_ref.errors import InputError
from ovis2_ref.image.limits import check_passes
from ovis2_ref.image.options import ImageOptions
from ovis2_ref.image.pictures import OnWhite, Picture, as_levels, pillow_on_white, torch_on_white
from ovis2_ref.image.resize import pillow_resize, torch_resize, vertical_first
from ovis2_ref.image.values import pillow_values, torch_values


class Arithmetic(NamedTuple):
    """What a processor asks: each function's own docstring says what it computes."""

    resize: Callable[[Picture, tuple[int, int], ImageOptions], tuple[Picture, bool]]
    values: Callable[..., np.ndarray]
    crop_offset: Callable[[int, int], int]
    on_white: OnWhite


def resize_levels_pillow(picture: Picture, size: tuple[int, int], options: ImageOptions) -> tuple[Picture, bool]:
    """The levels of `picture`, resized, and whether they stand for 0 to 1 (see `as_levels`)."""
    levels, scaled = as_levels(picture)
    (h, w), (H, W) = levels.shape[1:], size
    check_passes((H, w) if vertical_first((h, w), size, options.pillow) else (h, W))
    return pillow_resize(levels, size, options.filter, options.pillow), scaled


def resize_levels_torch(picture: Picture, size: tuple[int, int], options: ImageOptions) -> tuple[Picture, bool]:
    """The levels of `picture`, resized. Raises `InputError` for other than bytes: torch resizes floats as floats."""
    if picture.dtype != np.uint8:
        raise InputError(f"the torch processor's resizing is there for bytes; got {picture.dtype}")
    if options.filter not in ("bilinear", "bicubic"):
        raise InputError(f"the torch processor has no filter {options.filter!r}: use bilinear (2) or bicubic (3)")
    check_passes((picture.shape[1], size[1]))
    return torch_resize(picture, size, options.filter), False


PILLOW = Arithmetic(resize_levels_pillow, pillow_values, lambda size, crop: (size - crop) // 2, pillow_on_white)
TORCH = Arithmetic(resize_levels_torch, torch_values, lambda size, crop: int((size - crop) / 2.0), torch_on_white)
"""`crop_offset(size, crop)` is where a centre crop begins, below 0 where the picture is smaller: one rounds down, one to 0."""


def center_crop(picture: Picture, size: tuple[int, int], arithmetic: Arithmetic) -> Picture:
    """The `size` (height, width) in the middle of `picture`, with zeros where the picture is smaller."""
    cropped = np.zeros((len(picture), *size), picture.dtype)
    source, target = [slice(None)], [slice(None)]
    for have, want in zip(picture.shape[1:], size, strict=True):
        offset = arithmetic.crop_offset(have, want)
        source.append(slice(max(offset, 0), min(offset + want, have)))
        target.append(slice(max(-offset, 0), max(-offset, 0) + min(want, have)))
    cropped[tuple(target)] = picture[tuple(source)]
    return cropped
