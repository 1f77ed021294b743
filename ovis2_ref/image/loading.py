"""Picture files and clips, decoded by Pillow (imported when the first one is met).

Files are hostile: whatever is wrong with one is an `InputError`, and what it can make us allocate is bounded.
"""

import io
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovis2_ref.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

MAX_PIXELS = 2**28 // 3
"""No picture has more pixels (Pillow's own limit for a warning), nor do the frames taken of a clip. A pixel takes 4 bytes while
Pillow holds it and 3 as an array: a small file that claims to be huge costs 600 MiB at most, one that claims more nothing."""

MAX_EDGE = 2**18
"""No picture is longer: the windows over an axis of n pixels hold at most some 6 n weights, 12 MiB for this many."""

MAX_CLIP_PIXELS = 2**32
"""A clip's frames have to be decoded one after another to reach a later one; all of them have no more pixels than this."""


def is_pil_image(image: Any) -> bool:
    """Whether it is a Pillow image; if Pillow was never imported, it isn't."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(image, pillow.Image)


def load_image(source: Any) -> Any:
    """The picture in a file (its name or its bytes) as a Pillow image, decoded; a Pillow image or an array passes through.

    An EXIF orientation is not applied: neither program does that. Of an animation it is the first frame.
    Raises `InputError` if the file is missing, not a picture, damaged, cut short, or larger than `MAX_PIXELS` or `MAX_EDGE`.
    """
    if not isinstance(source, str | bytes | Path):
        return source
    with opened(source) as (image, _):
        image.load()
        return image


def load_video(source: str | bytes | Path, frames: int = 8) -> "list[Image.Image]":
    """`frames` frames of an animated GIF, WebP, APNG or TIFF, as pictures: the middle one of as many equal stretches of the clip.

    Of n frames that is int(n (2 i + 1) / (2 frames)); a clip of no more than `frames` gives all of them, a still picture one.
    Ovis2 looks at a clip as pictures of one tile each (`max_patches=1`), with an <image> in the prompt for each.
    Raises `InputError` as `load_image` does, and for a clip of more than `MAX_CLIP_PIXELS`.
    """
    if isinstance(frames, bool) or not isinstance(frames, int) or frames < 1:
        raise InputError(f"frames={frames!r} should be a whole number above 0")
    with opened(source) as (image, name):
        count = getattr(image, "n_frames", 1)
        if count * image.width * image.height > MAX_CLIP_PIXELS:
            raise InputError(f"{name}: {count} frames of {image.width}x{image.height} are too many to look through")
        taken = frame_numbers(count, frames)
        if len(taken) * image.width * image.height > MAX_PIXELS:
            raise InputError(
                f"{name}: {len(taken)} frames of {image.width}x{image.height} don't fit; take fewer frames"
            )
        pictures = []
        for number in taken:
            image.seek(number)
            pictures.append(image.copy())
        return pictures


def frame_numbers(count: int, frames: int) -> list[int]:
    """The frames of `count` that `load_video` takes."""
    if count <= frames:
        return list(range(count))
    return [count * (2 * i + 1) // (2 * frames) for i in range(frames)]


@contextmanager
def opened(source: str | bytes | Path) -> "Iterator[tuple[Image.Image, str]]":
    """A Pillow image, opened but not decoded, and what to call it; what Pillow raises in the block becomes an `InputError`."""
    from PIL import Image

    name = f"{len(source)} bytes" if isinstance(source, bytes) else str(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
            check_pixels(image.width, image.height, name)
            yield image, name
    except InputError:
        raise
    except Exception as error:
        # A damaged file makes Pillow raise nearly anything: OSError, SyntaxError, ValueError, struct.error, IndexError.
        raise InputError(f"{name} can't be read as a picture: {str(error) or type(error).__name__}") from error


def check_pixels(width: int, height: int, name: str) -> None:
    """Raises `InputError` for a picture that is larger than `MAX_PIXELS` or `MAX_EDGE` allow."""
    if width * height > MAX_PIXELS or max(width, height) > MAX_EDGE:
        raise InputError(
            f"{name}: {width}x{height} (w x h) is too large; at most {MAX_PIXELS} pixels are taken, {MAX_EDGE} along an edge"
        )
