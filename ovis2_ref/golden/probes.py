"""Probes: pictures and a prompt that reveal mistakes which an ordinary picture hides, each with its golden file."""

from pathlib import Path

import numpy as np
from PIL import Image

from ovis2_ref.golden.record import record
from ovis2_ref.model import Ovis2ForConditionalGeneration
from ovis2_ref.text.processor import Ovis2Processor

SHARE = 50_000
"""Bytes of values in each golden file; larger values keep drawn rows."""


def slope(height: int, width: int) -> np.ndarray:
    """Draw a picture (height, width, 3) that differs along each axis and in each channel, with some noise."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(height * width).integers(0, 40, (height, width, 3))
    channels = np.stack([200 * x / width, 200 * y / height, 100 * (x + y) / (height + width)], axis=-1)
    return (channels + noise).astype(np.uint8)


def impulses(height: int, width: int) -> np.ndarray:
    """Draw single white pixels on black, far apart, which show each filter, its support, antialias and the order of passes."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[3::17, 5::19] = 255
    return picture


PROBES = {
    "slope_wide": lambda: slope(60, 150),  # an asymmetric grid: transposed, column by column, thumbnail
    "slope_tall": lambda: slope(330, 60),  # shrinks in height alone: the order of passes
    "impulses": lambda: impulses(100, 160),  # filters, antialias
    "grey": lambda: np.full((64, 64, 3), 128, np.uint8),  # no detail: tiny norms, epsilons; mean and deviation
}
"""Name -> the picture; a comment says which mistakes it reveals."""


def write_probes(folder: str | Path, model: Ovis2ForConditionalGeneration, processor: Ovis2Processor) -> None:
    """Write each probe's picture and its golden file into `folder`: small values whole, some rows of the others."""
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    for name, draw in PROBES.items():
        picture = draw()
        Image.fromarray(picture).save(path / f"{name}.png")
        record(path / f"{name}.safetensors", model, processor, [picture], "What is this?", tokens=2, budget=SHARE)
