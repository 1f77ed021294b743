"""Decode picture files and clips with Pillow, which is imported at the first one.

Files may be hostile: any damage raises an `InputError`; only the formats in `limits.COSTS` are opened, whatever the file's name
is; and `limits` bounds what decoding may cost.
"""

import base64
import binascii
import io
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovis2_ref.errors import InputError
from ovis2_ref.files.checks import shown, whole
from ovis2_ref.image.limits import COSTS, MAX_BYTES, MAX_FRAMES, MAX_PIXELS, check_cost, check_file, gif_canvas

if TYPE_CHECKING:
    from PIL import Image

SHORTEST_BASE64 = 64
"""Characters of base64 at least; no picture is shorter, so a shorter text is the name of a file."""


def is_pil_image(image: Any) -> bool:
    """Return True for a Pillow image. Does not import Pillow."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(image, pillow.Image)


def load_image(source: Any) -> Any:
    """Return the picture in a file (its name, its bytes, or these in base64) as a Pillow image in mode RGB; others pass through.

    A file's picture is rotated as its EXIF orientation says and converted to RGB, which drops transparency; an animation gives
    its first frame. Source: transformers 5.24, `image_utils.load_image`. Raises `InputError` if the file is missing, not a
    picture, damaged, cut short, or beyond the bounds of `limits`.
    """
    if not isinstance(source, str | bytes | Path):
        return source
    from PIL import ImageOps

    with opened(source) as (image, data, name):
        check_cost(image, data, name)
        ImageOps.exif_transpose(image, in_place=True)
        return image if type(image).__name__ == "Image" and image.mode == "RGB" else image.convert("RGB")


def load_video(source: str | bytes | Path, frames: int = 8) -> "list[Image.Image]":
    """Return `frames` frames of an animated GIF, WebP, AVIF, APNG or TIFF: the middle frame of each of `frames` equal parts.

    Of n frames that is number int(n (2 i + 1) / (2 frames)); a clip of no more than `frames` gives all of them, a still picture
    one. Ovis2 reads a clip as pictures of one tile each (`max_patches=1`), with an <image> in the prompt for each.
    Raises `InputError` as `load_image` does, and for a clip that is too long to scan.
    """
    whole("frames", frames, 1)
    from PIL import ImageOps

    with opened(source) as (image, data, name):
        count = _count_frames(image, data, name)
        taken = frame_numbers(count, frames)
        check_cost(image, data, name, len(taken) if image.format == "TIFF" else count)
        pictures, pixels = [], 0
        for number in taken:
            image.seek(number)
            check_cost(image, data, name)
            pixels += image.width * image.height
            if pixels > MAX_PIXELS:
                raise InputError(
                    f"{name}: {len(taken)} frames of about {image.width}x{image.height} don't fit; take fewer frames"
                )
            pictures.append(ImageOps.exif_transpose(image))
        return pictures


def frame_numbers(count: int, frames: int) -> list[int]:
    """Return the frames of `count` that `load_video` takes.

    >>> frame_numbers(100, 4)
    [12, 37, 62, 87]
    """
    if count <= frames:
        return list(range(count))
    return [count * (2 * i + 1) // (2 * frames) for i in range(frames)]


def _count_frames(image: "Image.Image", data: bytes, name: str) -> int:
    """Return how many frames the opened clip has. Further pictures in a phone's JPEG are no frames."""
    if image.format in ("JPEG", "MPO"):
        return 1
    if image.format == "GIF":
        return gif_canvas(data)[2]
    count = 0
    if image.format == "TIFF":  # its property n_frames walks through all pages, however many there are
        try:
            while count <= MAX_FRAMES:
                image.seek(count)
                count += 1
        except EOFError:
            pass
        image.seek(0)
    else:
        count = getattr(image, "n_frames", 1)
    if count > MAX_FRAMES:
        raise InputError(f"{name} has more than {MAX_FRAMES} frames")
    return count


@contextmanager
def opened(source: str | bytes | Path) -> "Iterator[tuple[Image.Image, bytes, str]]":
    """Open a file as a Pillow image, not decoded, its bytes, and its name for messages; Pillow's errors become `InputError`."""
    from PIL import Image

    if isinstance(source, str):
        source = embedded_picture(source) or source
    name = f"{len(source)} bytes" if isinstance(source, bytes) else f"{source!s:.200}"
    with pillow_errors(name):
        data = source if isinstance(source, bytes) else _read(source)
        if len(data) > MAX_BYTES:
            raise InputError(f"{name} holds {len(data)} bytes; at most {MAX_BYTES} are read of a picture file")
        check_file(data, name)
        try:
            image = Image.open(io.BytesIO(data), formats=tuple(COSTS))
        except Image.UnidentifiedImageError as error:
            raise InputError(
                f"{name} can't be read as a picture: it is none of {', '.join(COSTS)}, or damaged"
            ) from error
        yield image, data, name


def embedded_picture(source: str) -> bytes | None:
    """Return the bytes of the picture that a text holds: a data: URL, or base64; None for the name of a file.

    A file of that name takes precedence, as in transformers. Raises `InputError` for a web address, and for a data: URL without
    base64.
    """
    if source.startswith(("http://", "https://")):
        raise InputError(
            f"{shown(source)}: nothing is fetched from the network; download the picture and give its file"
        )
    if source.startswith("data:"):
        kind, _, text = source.partition(",")
        content = _decoded(text)
        if content is None or not kind.endswith(";base64"):
            raise InputError(f"{shown(source)} is no picture: data:image/png;base64,... was expected")
        return content
    if len(source) < SHORTEST_BASE64 or os.path.isfile(source):
        return None
    return _decoded(source)


def _decoded(text: str) -> bytes | None:
    """Return the bytes that the base64 text encodes, line breaks ignored; None if it isn't base64."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return None


@contextmanager
def pillow_errors(name: str) -> Iterator[None]:
    """Turn what Pillow raises in the block into an `InputError` about `name`."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        # A damaged file makes Pillow raise nearly anything: OSError, SyntaxError, ValueError, struct.error, IndexError.
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise InputError(f"{name} can't be read as a picture: {reason:.300}") from error


def _read(path: str | Path) -> bytes:
    """Return the bytes of the regular file at `path`, at most one more than `MAX_BYTES`. Follow links; never wait for a pipe."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("it is not a regular file")
        return file.read(MAX_BYTES + 1)
