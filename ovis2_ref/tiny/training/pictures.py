"""Scenes as inputs of the model: tiles of pixels, and the visual word of every merged cell."""

from dataclasses import dataclass

import numpy as np
from transformers.models.ovis2.image_processing_pil_ovis2 import Ovis2ImageProcessorPil, get_min_tile_covering_grid

from ovis2_ref.tiny.training.scenes import (
    BACKGROUND,
    UNSURE,
    Scene,
    by_tile,
    cell_coverage,
    cell_of_centre,
    chance_of_centre,
)
from ovis2_ref.tiny.training.words import CELLS, PARTS, word_of

TILE_SIZE = 64
MAX_TILES = 9
SEEN, EMPTY = 0.04, 0.005
"""A cell is a shape's from this coverage on, and background up to this; in between it is not trained on."""

BLUR = 0.05
"""How far a vision tower misses the place of a shape's centre, in cells: the language stage's visual tokens are drawn so."""

image_processor = Ovis2ImageProcessorPil(
    crop_to_patches=True, max_patches=MAX_TILES, size={"height": TILE_SIZE, "width": TILE_SIZE}
)


def grid_of_size(height: int, width: int) -> tuple[int, int]:
    """Return the (rows, columns) of tiles that transformers cuts a picture of this size into.

    The covering search names rows first, and transformers takes its answer for (columns, rows): the grid is transposed.
    """
    columns, rows = get_min_tile_covering_grid((height, width), TILE_SIZE, MAX_TILES)
    return rows, columns


def grid_of(scene: Scene) -> tuple[int, int]:
    """Return the (rows, columns) of tiles that transformers cuts the scene's picture into."""
    return grid_of_size(scene.height, scene.width)


def tile_count(grid: tuple[int, int]) -> int:
    """Count the tiles of a grid with its thumbnail; a single tile has none."""
    return 1 if grid == (1, 1) else grid[0] * grid[1] + 1


def pixels_of(scene: Scene) -> np.ndarray:
    """Draw and cut the scene: (tiles, 3, 64, 64) float32, thumbnail first."""
    return np.stack(image_processor(images=scene.render())["pixel_values"])


@dataclass(frozen=True)
class CellWords:
    """The visual words of a picture's cells, each (tiles, 16), in the order of the visual tokens.

    `words` are the right ones with `UNSURE` where a cell isn't trained on: it shows too little of a shape, or two shapes
    alike, or a centre in a tile that shows a part of the picture. `likely` is the shape whose centre lies in the cell, else
    the one that covers most of it, or background where there is none; `coverage` says how much of the cell that shape
    covers, and `centre_chance` how likely its centre seems to lie there (`BLUR`).
    """

    words: np.ndarray
    likely: np.ndarray
    coverage: np.ndarray
    centre_chance: np.ndarray


def words_of(scene: Scene, grid: tuple[int, int]) -> CellWords:
    """Look up the visual word of every merged cell of every tile."""
    parts = [_cell_words(scene, (1, 1))]
    if grid != (1, 1):
        parts.append(_cell_words(scene, grid))
    return CellWords(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _cell_words(scene: Scene, grid: tuple[int, int]) -> tuple[np.ndarray, ...]:
    """Look up the four arrays of `CellWords` for the tiles of one grid, row by row."""
    rows, columns = grid[0] * CELLS, grid[1] * CELLS
    coverage = by_tile(cell_coverage(scene, rows, columns), grid)
    centre = by_tile(cell_of_centre(scene, rows, columns), grid)
    chance = by_tile(chance_of_centre(scene, rows, columns, BLUR), grid)
    has_centre = centre.any(axis=0)
    shape = np.where(has_centre, centre.argmax(axis=0), coverage.argmax(axis=0))
    covered, chance = (np.take_along_axis(array, shape[None], axis=0)[0] for array in (coverage, chance))
    total = coverage.sum(axis=0)
    words = np.array([[[word_of(it.name, c, part) for c in range(CELLS)] for part in PARTS] for it in scene.shapes])
    column = np.arange(CELLS**2) % CELLS
    likely = np.where(covered > 0, words[shape, has_centre.astype(int), column], BACKGROUND)
    clear = np.where(has_centre, grid == (1, 1), (covered >= SEEN) & (covered > 2 * (total - covered)))
    words = np.where(clear, likely, np.where(total <= EMPTY, BACKGROUND, UNSURE))
    return words, likely, covered, chance
