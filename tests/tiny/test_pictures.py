"""Tiles, grids and the words of their cells, as training uses them, against transformers' image processor."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("transformers", minversion="5.0", reason="the oracle is transformers 5's image processor")
from transformers.models.ovis2.image_processing_pil_ovis2 import Ovis2ImageProcessorPil

from ovis2_ref.tiny.training.pictures import grid_of, image_processor, pixels_of, tile_count, words_of
from ovis2_ref.tiny.training.scenes import BACKGROUND, UNSURE, WIDE_SORTS, draw_scene, draw_wide_scene
from ovis2_ref.tiny.training.words import ALL_WORDS, CELLS, WORDS

seeds = st.integers(0, 10_000_000)


@given(seeds)
def test_the_grid_is_the_processors(seed):
    """Rows, columns and the number of tiles are what transformers makes of the picture."""
    scene = draw_scene(seed)
    theirs = Ovis2ImageProcessorPil(crop_to_patches=True, max_patches=9, size={"height": 64, "width": 64})
    made = theirs(images=scene.render())
    assert grid_of(scene) == tuple(made["grids"][0])
    assert tile_count(grid_of(scene)) == len(made["pixel_values"])
    np.testing.assert_array_equal(pixels_of(scene), np.stack(made["pixel_values"]))


def test_all_sorts_of_grids_occur():
    """One tile, rows, columns, and up to nine tiles."""
    grids = {grid_of(draw_scene(seed)) for seed in range(300)}
    assert {(1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (3, 2), (3, 3)} <= grids


@settings(max_examples=40)
@given(seeds)
def test_a_cell_has_the_colour_that_its_word_says(seed):
    """Where a shape fills a cell of a tile, the pixels in its middle have the shape's colour; and its column is right.

    The samples of a full cell leave an edge of up to 16 / 12 pixels out, so a pixel of the middle is 4 pixels away from other
    colours: more than one pixel of the picture, of which 64 / 18 fit into a tile at least. There a bicubic filter weighs at
    most 2 / 27, that is 19 of 255 levels; two passes round by half a level each.
    """
    scene = draw_scene(seed)
    cells = words_of(scene, grid_of(scene))
    mean, std = (np.array(values)[:, None, None] for values in (image_processor.image_mean, image_processor.image_std))
    levels = (pixels_of(scene) * std + mean) * 255
    middles = levels.reshape(len(levels), 3, CELLS, 16, CELLS, 16)[:, :, :, 5:11, :, 5:11]
    rgb = {shape.name: shape.rgb for shape in scene.shapes}
    for tile, cell in zip(*np.nonzero(cells.coverage == 1), strict=True):
        name, column, _ = WORDS[cells.likely[tile, cell]].split(", ")
        assert column == f"column {cell % CELLS + 1}"
        middle = middles[tile, :, cell // CELLS, :, cell % CELLS].reshape(3, -1).T
        np.testing.assert_allclose(middle, np.broadcast_to(rgb[name], middle.shape), atol=20)


@given(seeds)
def test_the_thumbnail_names_every_shape_from_left_to_right(seed):
    """Its words for centres are the scene's shapes in their order, one word each; other words name nothing else."""
    scene = draw_scene(seed)
    thumbnail = words_of(scene, grid_of(scene)).words[0]
    named = [WORDS[word].split(", ") for word in thumbnail if word not in (UNSURE, BACKGROUND)]
    centres = sorted((column, name) for name, column, part in named if part == "centre")
    assert [name for _, name in centres] == [shape.name for shape in scene.shapes]
    assert {name for name, _, _ in named} == {shape.name for shape in scene.shapes}


@given(seeds, st.sampled_from(sorted(WIDE_SORTS)))
def test_wide_scenes_have_their_words(seed, sort):
    """The thumbnail names every shape by its centre; a tile that a shape fills is not trained on; an empty one is background."""
    scene = draw_wide_scene(seed, sort)
    cells = words_of(scene, grid_of(scene))
    assert cells.words.shape == cells.filled.shape == (tile_count(grid_of(scene)), CELLS**2)
    centres = [
        ALL_WORDS[word].split(",")[0] for word in cells.words[0] if word > 0 and ALL_WORDS[word].endswith("centre")
    ]
    assert sorted(centres) == sorted(shape.name for shape in scene.shapes)
    assert set(cells.words[cells.filled]) <= {UNSURE, BACKGROUND}
    assert not cells.filled[0].any()
    if sort == "empty":
        assert (cells.words == BACKGROUND).all()
