"""Scenes as inputs of the model: tiles of pixels, and the visual word of every merged cell."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from ovis2_ref.image.processor import Ovis2ImageProcessor
from ovis2_ref.image.tiling import covering_grid
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

FILLED = 0.85
"""A tile of which a shape covers more shows too little of its outline to tell its kind, and isn't trained on."""

image_processor = Ovis2ImageProcessor(
    crop_to_patches=True, max_patches=MAX_TILES, size={"height": TILE_SIZE, "width": TILE_SIZE}
)


@cache
def grid_of_size(height: int, width: int) -> tuple[int, int]:
    """Return the (rows, columns) of tiles that transformers cuts a picture of this size into.

    The covering search names rows first, and transformers takes its answer for (columns, rows): the grid is transposed.
    """
    columns, rows = covering_grid(height, width, TILE_SIZE, MAX_TILES)
    return rows, columns


def grid_of(scene: Scene) -> tuple[int, int]:
    """Return the (rows, columns) of tiles that transformers cuts the scene's picture into."""
    return grid_of_size(scene.height, scene.width)


def tile_count(grid: tuple[int, int]) -> int:
    """Count the tiles of a grid with its thumbnail; a single tile has none."""
    return 1 if grid == (1, 1) else grid[0] * grid[1] + 1


def pixels_of(scene: Scene) -> np.ndarray:
    """Draw and cut the scene: (tiles, 3, 64, 64) float32, thumbnail first."""
    return image_processor(images=scene.render(), return_tensors="np")["pixel_values"]


@dataclass(frozen=True)
class CellWords:
    """The visual words of a picture's cells, each (tiles, 16), in the order of the visual tokens.

    `words` are the right ones with `UNSURE` where a cell isn't trained on: it shows too little of a shape, or two shapes
    alike, or a centre in a tile that shows a part of the picture, or its tile is `filled`. `likely` is the shape whose centre
    lies in the cell, else the one that covers most of it, or background where there is none; `coverage` says how much of the
    cell that shape covers, and `centre_chance` how likely its centre seems to lie there (`BLUR`). A tile of a part of the
    picture is `filled` by a shape that covers so much of it that its kind can't be told there.
    """

    words: np.ndarray
    likely: np.ndarray
    coverage: np.ndarray
    centre_chance: np.ndarray
    filled: np.ndarray


def words_of(scene: Scene, grid: tuple[int, int]) -> CellWords:
    """Look up the visual word of every merged cell of every tile."""
    parts = [_cell_words(scene, (1, 1))]
    if grid != (1, 1):
        parts.append(_cell_words(scene, grid))
    return CellWords(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _cell_words(scene: Scene, grid: tuple[int, int]) -> tuple[np.ndarray, ...]:
    """Look up the arrays of `CellWords` for the tiles of one grid, row by row."""
    if not scene.shapes:
        nothing = np.zeros((grid[0] * grid[1], CELLS**2))
        return nothing.astype(int), nothing.astype(int), nothing, nothing, nothing.astype(bool)
    rows, columns = grid[0] * CELLS, grid[1] * CELLS
    coverage = by_tile(cell_coverage(scene, rows, columns), grid)
    centre = by_tile(cell_of_centre(scene, rows, columns), grid)
    chance = by_tile(chance_of_centre(scene, rows, columns, BLUR), grid)
    has_centre = centre.any(axis=0)
    shape = np.where(has_centre, centre.argmax(axis=0), coverage.argmax(axis=0))
    covered, chance = (np.take_along_axis(array, shape[None], axis=0)[0] for array in (coverage, chance))
    total = coverage.sum(axis=0)
    share = np.take_along_axis(coverage.mean(axis=2, keepdims=True), shape[None], axis=0)[0]
    filled = (share > FILLED) & (grid != (1, 1))
    words = np.array([[[word_of(it.name, c, part) for c in range(CELLS)] for part in PARTS] for it in scene.shapes])
    column = np.arange(CELLS**2) % CELLS
    likely = np.where(covered > 0, words[shape, has_centre.astype(int), column], BACKGROUND)
    clear = np.where(has_centre, grid == (1, 1), (covered >= SEEN) & (covered > 2 * (total - covered)) & ~filled)
    words = np.where(clear, likely, np.where(total <= EMPTY, BACKGROUND, UNSURE))
    return words, likely, covered, chance, filled
