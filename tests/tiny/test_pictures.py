"""Tiles, grids and the words of their cells, as training uses them, against transformers' image processor."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("transformers", minversion="5.0", reason="training uses transformers 5")
from ovis2_ref.tiny.training.pictures import CELLS, WORDS, grid_of, image_processor, pixels_of, tile_count, words_of
from ovis2_ref.tiny.training.scenes import BACKGROUND, UNSURE, draw_scene

seeds = st.integers(0, 10_000_000)


@given(seeds)
def test_the_grid_is_the_processors(seed):
    """Rows, columns and the number of tiles are what transformers makes of the picture."""
    scene = draw_scene(seed)
    made = image_processor(images=scene.render())
    assert grid_of(scene) == tuple(made["grids"][0])
    assert tile_count(grid_of(scene)) == len(made["pixel_values"])


def test_all_sorts_of_grids_occur():
    """One tile, rows, columns, and up to nine tiles."""
    grids = {grid_of(draw_scene(seed)) for seed in range(300)}
    assert {(1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (3, 2), (3, 3)} <= grids


@settings(max_examples=40)
@given(seeds)
def test_a_cell_has_the_colour_that_its_word_says(seed):
    """Where a shape fills a cell of a tile, the tile's pixels there have the shape's colour; and its column is right."""
    scene = draw_scene(seed)
    cells = words_of(scene, grid_of(scene))
    mean, std = (np.array(values)[:, None, None] for values in (image_processor.image_mean, image_processor.image_std))
    levels = (pixels_of(scene) * std + mean) * 255
    means = levels.reshape(len(levels), 3, CELLS, 16, CELLS, 16).mean(axis=(3, 5)).reshape(len(levels), 3, -1)
    rgb = {shape.name: shape.rgb for shape in scene.shapes}
    for tile, cell in zip(*np.nonzero(cells.coverage == 1), strict=True):
        name, column = WORDS[cells.likely[tile, cell]].split(", column ")
        assert int(column) == cell % CELLS + 1
        np.testing.assert_allclose(means[tile, :, cell], rgb[name], atol=20)


@given(seeds)
def test_every_shape_has_a_word_in_the_thumbnail(seed):
    """The thumbnail alone names every shape of the scene, and nothing else."""
    scene = draw_scene(seed)
    thumbnail = words_of(scene, grid_of(scene)).words[0]
    named = {WORDS[word].split(",")[0] for word in thumbnail if word not in (UNSURE, BACKGROUND)}
    assert named == {shape.name for shape in scene.shapes}
