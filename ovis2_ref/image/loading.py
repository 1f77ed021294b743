"""Picture files, decoded by Pillow (imported when the first one is met). Files are hostile: what is wrong with one is an `InputError`."""

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
"""No picture is decoded that says it has more pixels (Pillow's own limit for a warning): 4 bytes each while Pillow holds it, 3 as
an array, so a small file that claims to be huge costs 600 MiB at most, and one that claims more costs nothing."""


def is_pil_image(image: Any) -> bool:
    """Whether it is a Pillow image; if Pillow was never imported, it isn't."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(image, pillow.Image)


def load_image(source: Any) -> Any:
    """The picture in a file (its name or its bytes) as a Pillow image, decoded; a Pillow image or an array passes through.

    Turned as its EXIF orientation says? No: neither program does that.
    Raises `InputError` if the file is missing, not a picture, damaged, cut short, or has more than `MAX_PIXELS`.
    """
    if not isinstance(source, str | bytes | Path):
        return source
    with opened(source) as image:
        image.load()
        return image


@contextmanager
def opened(source: str | bytes | Path) -> "Iterator[Image.Image]":
    """A Pillow image, opened but not decoded; whatever Pillow raises inside the block becomes an `InputError`."""
    from PIL import Image

    name = f"{len(source)} bytes" if isinstance(source, bytes) else str(source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
            check_pixels(image.width, image.height, name)
            yield image
    except InputError:
        raise
    except Exception as error:
        # A damaged file makes Pillow raise nearly anything: OSError, SyntaxError, ValueError, struct.error, IndexError.
        raise InputError(f"{name} can't be read as a picture: {str(error) or type(error).__name__}") from error


def check_pixels(width: int, height: int, name: str) -> None:
    """Raises `InputError` for more than `MAX_PIXELS`."""
    if width * height > MAX_PIXELS:
        raise InputError(f"{name}: {width}x{height} is more than {MAX_PIXELS} pixels, the most that are taken")
