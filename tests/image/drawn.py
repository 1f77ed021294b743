"""What the picture tests draw, and the image processor of the installed transformers that they ask."""

from typing import Any

import numpy as np
import PIL
import transformers
from hypothesis import strategies as st
from PIL import Image

V5 = int(transformers.__version__.split(".")[0]) >= 5
if V5:
    from transformers.models.ovis2.image_processing_pil_ovis2 import Ovis2ImageProcessorPil as Reference
else:
    from transformers.models.ovis2.image_processing_ovis2 import Ovis2ImageProcessor as Reference

__all__ = ["INSTALLED", "NUMBERS", "V5", "Reference", "lengths", "noise", "pictures", "sizes"]

NUMBERS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}

_VERSION = tuple(int(part) for part in PIL.__version__.split(".")[:2])
INSTALLED = "13" if _VERSION >= (13, 0) else "12.2" if _VERSION >= (12, 2) else "12.1"
"""The order of passes of the installed Pillow."""

lengths = st.one_of(st.integers(1, 12), st.integers(1, 130), st.integers(1, 500))
sizes = st.one_of(
    st.tuples(lengths, lengths),
    st.tuples(st.integers(1, 2000), st.integers(1, 6)),
    st.tuples(st.integers(1, 6), st.integers(1, 2000)),
)
"""(height, width), strips among them."""


def noise(seed: int, *shape: int) -> np.ndarray:
    """Bytes: either any, or 0 and 255 alone, on which filters with negative lobes overshoot most."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, shape, np.uint8) if seed % 2 else rng.integers(0, 2, shape, np.uint8) * np.uint8(255)


@st.composite
def pictures(draw: st.DrawFn, modes: tuple[str, ...] = ("RGB",), sides: Any = sizes) -> Image.Image:
    """A Pillow image of a drawn size and mode; P with or without a transparent colour."""
    height, width = draw(sides)
    seed, mode = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from(modes))
    if mode == "F":
        return Image.fromarray(noise(seed, height, width).astype(np.float32))
    if mode in ("I", "I;16"):
        values = np.random.default_rng(seed).integers(0, 2**16, (height, width))
        return Image.fromarray(values.astype(np.int32 if mode == "I" else np.uint16))
    image = Image.fromarray(noise(seed, height, width, 4), "RGBA")
    if mode == "P":
        image = image.convert("RGB").quantize(colors=16)
        if draw(st.booleans()):
            image.info["transparency"] = 3
        return image
    return (
        image
        if mode == "RGBA"
        else image.convert("L").convert("LA")
        if mode == "LA"
        else image.convert("RGB").convert(mode)
    )
