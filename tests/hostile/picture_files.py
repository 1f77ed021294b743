"""Picture files that cost more than they show: each a function that returns the bytes of one."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return `image` as a file's bytes."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def gif_frame(width: int, height: int, disposal: int = 0) -> bytes:
    """Return a frame's blocks: one colour, without the data that would fill it (Pillow then leaves the rest as it was)."""
    control = b"!\xf9\x04" + bytes([disposal << 2, 0, 0, 0, 0])
    return control + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x44\x01\x00"


def growing_gif(side: int, frames: int, disposal: int = 0) -> bytes:
    """Return a canvas of 1x1, and frames of `side`."""
    header = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6)
    return header + gif_frame(1, 1) + gif_frame(side, side, disposal) * frames + b";"


def hidden_gif(side: int) -> bytes:
    """Return an empty extension, after which Pillow swallows what others read as a frame, and sees a large one in what they
    skip.
    """
    shown, hidden = gif_frame(1, 1), gif_frame(side, side, 2)
    swallowed = bytes([len(shown)]) + shown + b"\x00"
    return b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6) + b"!\x01\x00" + swallowed + hidden + b";"


def long_gif(side: int, frames: int) -> bytes:
    """So many whole frames of one colour."""
    first = encoded(Image.new("L", (side, side)), "GIF")
    start = first.index(b",", 13 + 768 if first[10] & 128 else 13)
    return first[:start] + first[start:-1] * frames + b";"


def jpeg_of_scans(side: int, scans: int) -> bytes:
    """Return a progressive JPEG whose last scan comes again and again."""
    noise = np.random.default_rng(0).integers(0, 255, (side, side), np.uint8)
    data = encoded(Image.fromarray(noise), "JPEG", progressive=True, quality=5)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * scans + b"\xff\xd9"


def png_header(width: int, height: int, colour: int = 6) -> bytes:
    """A PNG's signature and first chunk."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def png(width: int, height: int, colour: int = 6) -> bytes:
    """Return a whole PNG of zeros: colour 6 is RGBA, 2 RGB, 0 grey."""
    channels = {6: 4, 2: 3, 0: 1}[colour]
    packer = zlib.compressobj(1)
    rows = b"".join(packer.compress(bytes(1 + width * channels)) for _ in range(height)) + packer.flush()

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    return png_header(width, height, colour) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def tiff(
    pages: int = 1, width: int = 8, height: int = 8, tags: dict[int, int] | None = None, data: bytes = b""
) -> bytes:
    """Return an uncompressed grey TIFF of `pages` pages with these tags besides."""
    directory = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 277: 1, 278: height, 273: 8, 279: len(data)} | (
        tags or {}
    )
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(directory.items()))
    first, length = 8 + len(data), 2 + len(entries) + 4
    places = [*range(first + length, first + pages * length, length), 0]
    directories = (struct.pack("<H", len(directory)) + entries + struct.pack("<I", place) for place in places)
    return b"II*\0" + struct.pack("<I", first) + data + b"".join(directories)


def tiff_of_one_tile(side: int) -> bytes:
    """Return a picture of 8x8 in a compressed tile of `side` x `side`."""
    packed = zlib.compress(bytes(64))
    return tiff(tags={259: 8, 322: side, 323: side, 324: 8, 325: len(packed)}, data=packed)


def webp_header(width: int, height: int) -> bytes:
    """A WebP that claims a canvas, and holds nothing."""
    body = (
        b"VP8X"
        + struct.pack("<I", 10)
        + bytes(4)
        + (width - 1).to_bytes(3, "little")
        + (height - 1).to_bytes(3, "little")
    )
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(x) print\nshowpage\n%%EOF\n"
