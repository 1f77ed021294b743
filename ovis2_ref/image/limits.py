"""Limits for picture files: check what a file would cost by its headers, before anything is decoded.

One bound for all formats: `MEMORY` bytes beside the file itself, and `SECONDS` on one core. Pillow's decoders differ, so each
format has its measured cost per pixel (`COSTS`), and a picture is refused if its pixels times that cost exceed the bound.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, NamedTuple

from ovis2_ref.errors import InputError
from ovis2_ref.files.checks import shown

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 2**28 // 3
"""No picture has more pixels (Pillow's own limit for a warning), nor do the frames taken of a clip together."""

MAX_EDGE = 2**18
"""No picture is longer: the windows over an axis of n pixels hold at most some 6 n weights, 12 MiB for this many."""

MAX_BYTES = 2**28
"""No picture file is larger."""

MAX_FRAMES = 5_000
"""No clip has more frames, no TIFF more pages."""

MEMORY = 2**30
"""Bytes that decoding one picture takes at most, the file's own bytes not counted."""

SECONDS = 30
"""Seconds that decoding a picture or scanning a clip takes at most, on a core of the year 2020."""


class Cost(NamedTuple):
    """The cost per pixel of a format's worst picture while Pillow decodes it and converts it to RGB."""

    bytes: int
    nanoseconds: int


COSTS = {
    "PNG": Cost(12, 60),
    "JPEG": Cost(12, 20),
    "WEBP": Cost(20, 170),
    "GIF": Cost(16, 25),
    "TIFF": Cost(12, 60),
    "BMP": Cost(12, 10),
    "PPM": Cost(12, 10),
    "AVIF": Cost(16, 170),
}
"""The formats that are opened. Others are left out: EPS runs Ghostscript, JPEG 2000 takes 1 KiB for a pixel, ICNS and others
hold pictures within pictures, and the rest are rare."""

JPEG_SCAN = 12
"""Nanoseconds per pixel for each scan of a JPEG: a progressive one has about ten, a hostile one thousands."""

IN_PYTHON = {"ppm": 4000, "ppm_plain": 1500, "bmp_rle": 1000}
"""Nanoseconds per pixel of decoders that Pillow has written in Python: unusual PPM files and run-length encoded BMP files."""


_most_pixels: ContextVar[int] = ContextVar("ovis2_ref_most_pixels", default=MAX_PIXELS)


@contextmanager
def pixels_allowed(most: int) -> Iterator[None]:
    """Take pictures of up to `most` pixels; where that is more than `MAX_PIXELS`, more memory and time in proportion."""
    token = _most_pixels.set(most)
    try:
        yield
    finally:
        _most_pixels.reset(token)


def _more() -> float:
    """Return how many times `MEMORY` and `SECONDS` a picture may take."""
    return max(1.0, _most_pixels.get() / MAX_PIXELS)


def check_pixels(width: int, height: int, name: str) -> None:
    """Raise `InputError` for a picture larger than `MAX_PIXELS`, or what is allowed, or longer than `MAX_EDGE`."""
    most = _most_pixels.get()
    if width * height > most or max(width, height) > MAX_EDGE:
        raise InputError(
            f"{name}: {width}x{height} (w x h) is too large; at most {most} pixels are taken, {MAX_EDGE} along an edge; the "
            "processor's argument max_pixels allows more pixels"
        )


def check_passes(between: tuple[int, int]) -> None:
    """Raise `InputError` if the picture between the two passes of a resizing, of this (height, width), exceeds `MEMORY`."""
    if 3 * between[0] * between[1] > MEMORY * _more():
        raise InputError(
            f"a picture of these proportions can't be resized to this size: {between[1]}x{between[0]} (w x h) pixels between the "
            f"two passes are too many, at most {MEMORY // 3} are taken; scale it down first, or use fewer or smaller tiles"
        )


def check_tiles(count: int, height: int, width: int) -> None:
    """Raise `InputError` if one picture's tiles have more pixels together than `MAX_PIXELS`."""
    if count * height * width > max(MAX_PIXELS, _most_pixels.get()):
        raise InputError(
            f"{count} tiles of {width}x{height} (w x h) have more than {MAX_PIXELS} pixels; use fewer or smaller ones"
        )


def check_file(data: bytes, name: str) -> None:
    """Raise `InputError` for a GIF too large to be opened: Pillow allocates its first frame as it reads the header."""
    if data[:6] in (b"GIF87a", b"GIF89a"):
        width, height, frames = gif_canvas(data)
        check_pixels(width, height, name)
        if frames > MAX_FRAMES:
            raise InputError(f"{name} has more than {MAX_FRAMES} frames")
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        check_pixels(*webp_canvas(data), name)


def check_cost(image: "Image.Image", data: bytes, name: str, frames: int = 1) -> None:
    """Raise `InputError` if decoding `frames` frames of the opened `image`, whose file is `data`, would exceed the bounds."""
    check_pixels(image.width, image.height, name)
    kind = "JPEG" if image.format == "MPO" else str(image.format)
    pixels, cost = image.width * image.height, COSTS[kind]
    nanoseconds = cost.nanoseconds
    if kind == "JPEG":
        nanoseconds += JPEG_SCAN * data.count(b"\xff\xda")
    tiles = getattr(image, "tile", None)
    if tiles:
        nanoseconds = max(nanoseconds, IN_PYTHON.get(tiles[0][0], 0))
    if kind == "TIFF":
        _check_tiff_tile(image, name)
    if pixels * cost.bytes > MEMORY * _more():
        raise InputError(
            f"{name}: {image.width}x{image.height} (w x h) is too large for a {kind} file, whose decoder takes {cost.bytes} "
            f"bytes for a pixel; at most {MEMORY // cost.bytes} pixels are taken"
        )
    if pixels * frames * nanoseconds > SECONDS * 10**9 * _more():
        what = f"{frames} frames of {image.width}x{image.height}" if frames > 1 else f"{image.width}x{image.height}"
        raise InputError(
            f"{name}: {what} (w x h) would take about {pixels * frames * nanoseconds / 1e9:.0f} seconds to decode, and at most "
            f"{SECONDS} are spent; save it as an ordinary PNG or JPEG, or as a clip of fewer or smaller frames"
        )


def _check_tiff_tile(image: "Image.Image", name: str) -> None:
    """Raise `InputError` for huge tiles: libtiff allocates a whole tile or strip, however small the picture is."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    width, height = tags.get(322, 0), tags.get(323, 0)
    if not (isinstance(width, int) and isinstance(height, int)) or width * height > max(
        2**22, 2 * image.width * image.height
    ):
        raise InputError(f"{name}: tiles of {shown(width, 20)}x{shown(height, 20)} don't fit a picture of {image.size}")


def gif_canvas(data: bytes) -> tuple[int, int, int]:
    """Return (width, height, frames) of a GIF, read from its blocks: the canvas grows with any frame that reaches beyond it.

    Counts to `MAX_FRAMES` + 1 at most. It reads odd files exactly as Pillow's `GifImageFile._seek` does: bytes that are no block
    are skipped, ";" between blocks ends the file, and an extension with an empty first part includes the part after it.
    Source: the GIF89a specification, appendix A.
    """
    width, height = _u16(data, 6), _u16(data, 8)
    place, frames = 13, 0
    if data[10:11] and data[10] & 128:
        place += 6 << (data[10] & 7)
    while place < len(data) and frames <= MAX_FRAMES:
        block, place = data[place], place + 1
        if block == 0x3B:
            break
        if block == 0x21:
            label, (first, place) = data[place : place + 1], _sub_block(data, place + 1)
            if label == b"\xff" and frames == 0 and first.startswith(b"NETSCAPE2.0"):
                _, place = _sub_block(data, place)
            if first or label != b"\xfe":
                place = _after_sub_blocks(data, place)
        elif block == 0x2C:
            width = max(width, _u16(data, place) + _u16(data, place + 4))
            height = max(height, _u16(data, place + 2) + _u16(data, place + 6))
            flags = data[place + 8] if place + 8 < len(data) else 0
            place = _after_sub_blocks(data, place + 9 + (6 << (flags & 7) if flags & 128 else 0) + 1)
            frames += 1
    return width, height, frames


def _sub_block(data: bytes, place: int) -> tuple[bytes, int]:
    """Return the sub-block at `place`, empty where a 0 ends the block, and the place after it."""
    length = data[place] if place < len(data) else 0
    return data[place + 1 : place + 1 + length], place + 1 + length


def _after_sub_blocks(data: bytes, place: int) -> int:
    """Return the place after the 0 that ends the sub-blocks from `place` on."""
    while place < len(data) and data[place]:
        place += 1 + data[place]
    return place + 1


def webp_canvas(data: bytes) -> tuple[int, int]:
    """Return the (width, height) in a WebP's first chunk, (0, 0) if it is damaged. Source: the WebP container specification."""
    chunk, start = data[12:16], data[20:30]
    if chunk == b"VP8X":
        return 1 + int.from_bytes(start[4:7], "little"), 1 + int.from_bytes(start[7:10], "little")
    if chunk == b"VP8 ":
        return _u16(start, 6) & 0x3FFF, _u16(start, 8) & 0x3FFF
    if chunk == b"VP8L":
        bits = int.from_bytes(start[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return 0, 0


def _u16(data: bytes, place: int) -> int:
    return int.from_bytes(data[place : place + 2], "little")
