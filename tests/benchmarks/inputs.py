"""What the programs are given: drawn pictures, tiles and token ids. No torch is imported here: a process of ours has none."""

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from ovis2_ref import Ovis2Config, Ovis2ImageProcessor
from tests.benchmarks.shapes import OURS

QUESTION = 40
"""Text tokens in the prompt of an answer, after the picture's."""


def scene(size: str) -> Image.Image:
    """A picture of `size` ("4000x3000", width first): noise under a gradient, so that no value is rare."""
    width, height = map(int, size.split("x"))
    noise = np.random.default_rng(0).integers(0, 128, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise + np.linspace(0, 127, width).astype(np.uint8)[:, None])


def image_processor(program: str, side: int) -> Callable[[Image.Image], np.ndarray]:
    """A picture -> its tiles of `side` pixels, nine at most and a thumbnail, by ours or by transformers' processor."""
    options: dict[str, Any] = {"size": {"height": side, "width": side}, "crop_to_patches": True, "max_patches": 9}
    if program == OURS:
        processor: Any = Ovis2ImageProcessor(**options)
    else:
        try:
            from transformers.models.ovis2.image_processing_pil_ovis2 import Ovis2ImageProcessorPil as Reference
        except ImportError:
            from transformers import Ovis2ImageProcessor as Reference
        processor = Reference(**options)
    return lambda picture: processor(picture, return_tensors="np")["pixel_values"]


def drawn_pixels(count: int, config: Ovis2Config) -> np.ndarray:
    """So many tiles of normal numbers."""
    vision = config.vision_config
    shape = (count, vision.num_channels, vision.image_size, vision.image_size)
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def drawn_ids(shape: tuple[int, int], config: Ovis2Config) -> np.ndarray:
    """Token ids of text, (batch, tokens)."""
    return np.random.default_rng(0).integers(0, config.image_token_id, shape)


def answer_inputs(config: Ovis2Config) -> tuple[np.ndarray, np.ndarray]:
    """Ids and pixel values of a prompt: a picture of one tile between its indicators, and a question."""
    begin, *_, end = config.visual_indicator_token_ids
    atoms = [config.image_token_id] * config.vision_config.tokens_per_tile
    ids = np.concatenate([[begin, *atoms, end], drawn_ids((1, QUESTION), config)[0]])
    return ids[None], drawn_pixels(1, config)
