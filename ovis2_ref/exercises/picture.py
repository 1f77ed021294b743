"""Draw a failure whose result is a picture: the input, what was expected, what came, and where the two differ."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ovis2_ref.exercises.checking import Failure
from ovis2_ref.exercises.exercise import Exercise

GAP = 10
"""Pixels between tiles, and around everything."""
CAPTION = 14
TILE = 64
"""A tile is enlarged to about so many pixels."""
PAPER = (255, 244, 214)


def draw_failure(exercise: Exercise, failure: Failure, path: Path) -> bool:
    """Write the pictures of `failure` as a PNG to `path`; return False where the result is no picture of the right shape."""
    expected, got = failure.expected, failure.outcome.value
    if exercise.shown != "picture" or not isinstance(got, np.ndarray):
        return False
    if got.shape != expected.shape or got.dtype != np.uint8:
        return False
    given = next(value for value in failure.inputs.values() if getattr(value, "dtype", None) == np.uint8)
    differs = got != expected
    if expected.ndim > 2:
        differs = differs.any(axis=-3, keepdims=True)
    difference = differs.astype(np.uint8) * 255
    rows = [("input", given), ("expected", expected), ("got", got), ("where they differ", difference)]
    scale = max(1, TILE // min(expected.shape[-2:]))
    strips = [(caption, [_enlarged(tile, scale) for tile in _tiles(levels)]) for caption, levels in rows]
    width = max(sum(tile.width + GAP for tile in tiles) for _, tiles in strips) + GAP
    height = sum(tiles[0].height + CAPTION + GAP for _, tiles in strips) + GAP
    image = Image.new("RGB", (max(width, 160), height), PAPER)
    top = GAP
    for caption, tiles in strips:
        ImageDraw.Draw(image).text((GAP, top - 2), caption, fill=(0, 0, 0))
        left = GAP
        for tile in tiles:
            image.paste(tile, (left, top + CAPTION))
            left += tile.width + GAP
        top += tiles[0].height + CAPTION + GAP
    path.parent.mkdir(exist_ok=True)
    image.save(path)
    return True


def _tiles(levels: np.ndarray) -> list[np.ndarray]:
    """Return the pictures (height, width) or (height, width, 3) in an array of one, with or without channels, or of several."""
    if levels.ndim == 2:
        return [levels]
    tiles = levels if levels.ndim == 4 else levels[None]
    return [tile.transpose(1, 2, 0) if len(tile) == 3 else tile[0] for tile in tiles]


def _enlarged(tile: np.ndarray, scale: int) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(tile))
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
