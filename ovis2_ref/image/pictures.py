"""Convert pictures of all kinds to arrays (channels, height, width), and floats to levels where bytes are needed."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped, UInt8

from ovis2_ref.errors import InputError
from ovis2_ref.image.limits import check_pixels
from ovis2_ref.image.loading import is_pil_image, load_image, pillow_errors
from ovis2_ref.runtime.arrays import to_host

Picture = Shaped[np.ndarray, "channels _height _width"]
"""The number of channels is the same for all pictures of a function; the size may differ."""

Rgb = Shaped[np.ndarray, "3 height width"]
Rgba = Shaped[np.ndarray, "4 height width"]
OnWhite = Callable[[Rgba], Rgb]

BLOCK_PIXELS = 2**20
"""Pixels that are converted at a time."""

AS_THEY_ARE = ("L", "RGB", "I", "F", "I;16", "I;16L", "I;16B", "I;16N")
"""Pillow's modes whose arrays hold intensities. Others hold an index into a palette, colours other than RGB, or transparency."""


def flat_pictures(images: Any) -> Iterator[Any]:
    """Yield the pictures in `images`, in order: one picture, an array of several (n, ...), a list or tuple of any of these."""
    if isinstance(images, list | tuple):
        for part in images:
            yield from flat_pictures(part)
    elif getattr(images, "ndim", 3) == 4:
        yield from images
    else:
        yield images


def as_picture(image: Any, to_rgb: bool, layout: str | None, on_white: OnWhite | None) -> Picture:
    """Return a Pillow image, an array, a file's name or its bytes as an array (channels, height, width) of uint8, integers or
    floats.

    to_rgb: Make it three channels: repeat grey, lay a transparent picture on white, let Pillow convert all other modes.
    layout: "channels_first", "channels_last", or None to find an axis of 1, 3 or 4.
    on_white: How an array of four channels is laid on white (Pillow's images by Pillow); None drops the transparency.

    Raises `InputError` for a picture without pixels, one that Pillow can't decode, one with numbers that are not finite, and one
    with an unknown number of channels. It also raises where transformers would continue with a wrong picture: for a picture
    whose two outer axes could both be channels (transformers takes the first), for booleans, and with to_rgb=False for a
    Pillow mode whose numbers are not intensities.
    """
    if isinstance(image, str | bytes | Path):
        image = load_image(image)
    if is_pil_image(image):
        if 0 in image.size:
            raise InputError(f"a picture of {image.size[0]}x{image.size[1]} pixels is empty")
        check_pixels(image.width, image.height, "the picture")
        with pillow_errors("the picture"):
            image.load()
            pixels = _rgb_of_pillow(image, on_white is not None) if to_rgb else _plain_of_pillow(image)
        return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    pixels = _checked_array(image)
    pixels = pixels[None] if pixels.ndim == 2 else _channels_first(pixels, layout)
    if len(pixels) not in ((1, 3, 4) if to_rgb else (1, 3)):
        raise InputError(f"a picture of {len(pixels)} channels can't be used with do_convert_rgb={to_rgb}")
    check_pixels(pixels.shape[2], pixels.shape[1], "the picture")
    return _rgb_of_array(pixels, on_white) if to_rgb else pixels


def height_width(picture: Picture) -> tuple[int, int]:
    """Return (height, width)."""
    return picture.shape[1], picture.shape[2]


def _rgb_of_pillow(image: Any, white: bool) -> UInt8[np.ndarray, "height width 3"]:
    """Return the picture's RGB levels, transparent parts on white if `white`; a block of rows at a time, to save memory."""
    on_white = white and ("A" in image.getbands() or image.info.get("transparency") is not None)
    if image.mode == "F":
        _checked_array(image)
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    rows = max(1, BLOCK_PIXELS // width)
    for top in range(0, height, rows):
        block = image.crop((0, top, width, min(top + rows, height)))
        if on_white:
            block = _on_white(block)
        elif block.mode != "RGB":  # Pillow would copy it
            block = block.convert("RGB")
        pixels[top : top + rows] = np.asarray(block)
    return pixels


def _on_white(image: Any) -> Any:
    from PIL import Image

    background = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(background, image.convert("RGBA")).convert("RGB")


def _plain_of_pillow(image: Any) -> np.ndarray:
    if image.mode not in AS_THEY_ARE:
        raise InputError(
            f"a picture in Pillow's mode {image.mode} is not made of intensities: leave do_convert_rgb=True"
        )
    return _checked_array(image)


def _checked_array(image: Any) -> np.ndarray:
    try:
        pixels = to_host(image)
    except Exception as error:
        raise InputError(f"a {type(image).__name__} can't be read as a picture: {error}") from error
    if pixels.dtype.kind not in "uif" or pixels.ndim not in (2, 3):
        raise InputError(
            "a picture should be a Pillow image, a file or an array (h, w), (h, w, c) or (c, h, w) of bytes, integers or floats; "
            f"got a {type(image).__name__} of shape {pixels.shape} and type {pixels.dtype}"
        )
    if pixels.size == 0:
        raise InputError(f"a picture of shape {pixels.shape} has no pixels")
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise InputError("the picture holds NaN or infinite numbers")
    return pixels


def _channels_first(pixels: np.ndarray, layout: str | None) -> Picture:
    if layout is None:
        first, last = pixels.shape[0] in (1, 3, 4), pixels.shape[2] in (1, 3, 4)
        if first == last:
            what = "either the first or the last axis" if first else "neither the first nor the last axis"
            raise InputError(
                f"in a picture of shape {pixels.shape} {what} can be channels; say which with input_data_format"
            )
        layout = "channels_first" if first else "channels_last"
    return pixels if layout == "channels_first" else np.moveaxis(pixels, -1, 0)


def _rgb_of_array(pixels: Picture, on_white: OnWhite | None) -> Rgb:
    if len(pixels) == 1:
        return np.repeat(pixels, 3, axis=0)
    if len(pixels) == 3 or on_white is None:
        return pixels[:3]
    if pixels.dtype.kind == "f" and (pixels.min() < 0.0 or pixels.max() > 1.0):
        raise InputError(f"a float picture with transparency goes from 0 to 1, not {pixels.min()} to {pixels.max()}")
    return on_white(pixels)


def pillow_on_white(pixels: Rgba) -> Rgb:
    """a x + (1 - a) white in float64 (floats: in their own type), rounded. Source: transformers' `convert_to_rgb`."""
    whole = pixels.dtype.kind != "f"
    white = 255 if whole else 1.0
    alpha = pixels[3:] / white
    mixed = alpha * pixels[:3] + (1 - alpha) * white
    return (np.round(mixed) if whole else mixed).astype(pixels.dtype)


def torch_on_white(pixels: Rgba) -> Rgb:
    """x a + (1 - a) in float32 from 0 to 1, then int(255.999 x). Source: transformers' `TorchvisionBackend.convert_to_rgb`,
    torchvision's `to_dtype`. Raises `InputError` for other than bytes.
    """
    if pixels.dtype != np.uint8:
        raise InputError(f"the torch processor takes transparency in bytes; got {pixels.dtype}")
    scaled = pixels.astype(np.float32) * np.float32(1.0 / 255)
    mixed = scaled[:3] * scaled[3:] + (1 - scaled[3:])
    return (mixed * np.float32(255 + 1.0 - 1e-3)).astype(np.uint8)


def as_levels(pixels: Picture) -> tuple[UInt8[np.ndarray, "channels height width"], bool]:
    """Return a picture's bytes, and whether it was scaled: level = int(float32(255 x)) for floats from 0 to 1, else x itself.

    Source: transformers' `_rescale_for_pil_conversion`: a picture of whole numbers (within 1e-8 + 1e-5 |x|) is not scaled; it is
    truncated. Raises `InputError` for numbers in neither range; and for floats that are all 0 or 1, which transformers
    takes for levels, so that white becomes the second darkest one.
    """
    if pixels.dtype == np.uint8:
        return pixels, False
    low, high = pixels.min(), pixels.max()
    if low >= 0 and high <= 255 and np.allclose(pixels, pixels.astype(int)):
        if pixels.dtype.kind == "f" and 0 < high <= 1:
            raise InputError(
                "a float picture holds only 0 and 1, which may be levels or black and white: give bytes from 0 to 255"
            )
        return pixels.astype(np.uint8), False
    if low >= 0 and high <= 1:
        return (pixels.astype(np.float64) * 255).astype(np.float32).astype(np.uint8), True
    raise InputError(f"a picture's numbers should be whole from 0 to 255 or floats from 0 to 1; got {low} to {high}")
