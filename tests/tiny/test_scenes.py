"""Scenes follow from their seeds, and show what they say."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ovis2_ref.tiny.training.scenes import (
    COLOURED_SHAPES,
    DEVELOPMENT_SEED,
    FIRST_TRAINING_SEED,
    GREY_SHAPES,
    WIDE,
    WIDE_SORTS,
    cell_coverage,
    cell_of_centre,
    chance_of_centre,
    draw_scene,
    draw_training_scene,
    draw_wide_scene,
    size_of,
)

seeds = st.integers(0, 10 * FIRST_TRAINING_SEED)
AREAS = {"circle": math.pi, "square": 1.8**2, "triangle": 1.9, "cross": 2 * 1.2 - 0.36}
"""Areas of the shapes of radius 1, by elementary geometry."""


@given(seeds)
def test_a_seed_gives_the_same_picture_every_time(seed):
    """Drawing twice gives the same scene and the same pixels."""
    assert draw_scene(seed) == draw_scene(seed)
    np.testing.assert_array_equal(draw_scene(seed).render(), draw_scene(seed).render())


def test_seeds_give_different_pictures():
    """No two of a thousand seeds draw the same scene."""
    assert len({draw_scene(seed) for seed in range(1000)}) == 1000


@given(seeds)
def test_shapes_are_distinct_inside_and_clearly_ordered(seed):
    """Shapes differ, lie in the picture, and go from left to right by more than a quarter of its width."""
    scene = draw_scene(seed)
    names = [shape.name for shape in scene.shapes]
    assert 1 <= len(names) <= 3
    assert len(set(names)) == len(names)
    assert set(names) <= set(COLOURED_SHAPES)
    for shape in scene.shapes:
        assert shape.radius <= shape.x <= scene.width - shape.radius
        assert shape.radius <= shape.y <= scene.height - shape.radius
    assert all(b.x - a.x > scene.width / 4 for a, b in zip(scene.shapes, scene.shapes[1:], strict=False))


@given(seeds)
def test_shapes_are_large_enough_for_the_thumbnail(seed):
    """A shape is at least a sixth of the picture's longer side across: 11 pixels of a thumbnail's 64."""
    scene = draw_scene(seed)
    assert all(2 * shape.radius > max(scene.height, scene.width) / 6 for shape in scene.shapes)


@given(seeds)
def test_the_picture_shows_each_shape_in_its_place(seed):
    """The pixel at a shape's centre has the shape's colour, and the corners are background."""
    scene = draw_scene(seed)
    picture = scene.render()
    assert picture.shape == (scene.height, scene.width, 3)
    assert picture.dtype == np.uint8
    for shape in scene.shapes:
        assert tuple(picture[int(shape.y), int(shape.x)]) == shape.rgb
    assert tuple(picture[0, 0]) == scene.background[0]
    assert tuple(picture[-1, -1]) == scene.background[1]


@given(seeds)
def test_shapes_cover_the_area_that_geometry_says(seed):
    """The coverage of all cells together is the area of each shape, as nearly as points on a grid can measure it.

    A row of points meets each shape in one piece of length l(y) and counts it to within dx, over at most 2 r / dy + 1 rows; the
    sum over rows differs from the integral of l by at most dy / 2 times the total variation of l, which is at most 4 r.
    """
    scene = draw_scene(seed)
    cells, samples = 12, 24
    dx, dy = scene.width / (cells * samples), scene.height / (cells * samples)
    covered = cell_coverage(scene, cells, cells, samples).mean(axis=(1, 2)) * scene.height * scene.width
    for shape, area in zip(scene.shapes, covered, strict=True):
        bound = dx * (2 * shape.radius + dy) + dy * 2 * shape.radius
        assert abs(area - AREAS[shape.kind] * shape.radius**2) <= bound


@given(seeds)
def test_a_size_is_known_before_the_scene_is_made_up(seed):
    """The size looked up alone is that of the scene, alike shapes or not."""
    for scene in (draw_scene(seed), draw_scene(seed, alike="colour"), draw_training_scene(seed)):
        assert size_of(seed) == (scene.height, scene.width)


@given(seeds, st.sampled_from(["colour", "kind"]))
def test_two_shapes_are_made_alike(seed, alike):
    """Two of two or three shapes share their colour or kind, and still all shapes differ."""
    scene = draw_scene(seed, alike)
    assert len({shape.name for shape in scene.shapes}) == len(scene.shapes)
    if len(scene.shapes) > 1:
        assert len({getattr(shape, alike) for shape in scene.shapes}) < len(scene.shapes)


def test_training_sees_more_shapes_of_one_colour():
    """Of training's scenes with two shapes or three, more than 35 per cent hold two of one colour; by chance, 25."""

    def share_alike(draw):
        several = [scene for scene in map(draw, range(2_000_000, 2_001_500)) if len(scene.shapes) > 1]
        return np.mean([len({shape.colour for shape in scene.shapes}) < len(scene.shapes) for scene in several])

    assert share_alike(draw_scene) < 0.3
    assert share_alike(draw_training_scene) > 0.35


def test_seeds_for_judging_lie_below_those_for_training():
    """Evaluation, watching and training draw from ranges that don't meet."""
    assert 0 < DEVELOPMENT_SEED < FIRST_TRAINING_SEED


@settings(max_examples=30)
@given(seeds, st.integers(1, 5), st.integers(1, 5), st.sampled_from([0.02, 0.2]))
def test_a_centre_seems_to_lie_where_an_eye_with_logistic_errors_sees_it(seed, rows, columns, blur):
    """Counted over drawn errors; without an error a centre lies in its cell.

    A frequency of n draws is off by sqrt(p (1 - p) / n); six times that happens once in 10^9 cases.
    """
    scene, rng, draws = draw_scene(seed), np.random.default_rng(seed), 2000
    chance = chance_of_centre(scene, rows, columns, blur)
    for shape, of_shape in zip(scene.shapes, chance, strict=True):
        row = shape.y / scene.height * rows + rng.logistic(scale=blur, size=draws)
        column = shape.x / scene.width * columns + rng.logistic(scale=blur, size=draws)
        edges = [[-np.inf, *range(1, count), np.inf] for count in (rows, columns)]
        seen = np.histogram2d(row, column, bins=edges)[0] / draws
        bound = 6 * np.sqrt(of_shape * (1 - of_shape) / draws) + 1 / draws
        assert (abs(seen - of_shape) <= bound).all()
    sharp = chance_of_centre(scene, rows, columns, 1e-9)
    np.testing.assert_array_equal(sharp, cell_of_centre(scene, rows, columns))


@given(seeds, st.sampled_from(sorted(WIDE_SORTS)))
def test_wide_scenes_hold_what_they_say(seed, sort):
    """Shapes differ and lie inside the picture, which has the size of the seed's other scenes and shows each at its centre."""
    scene = draw_wide_scene(seed, sort)
    names = [shape.name for shape in scene.shapes]
    assert len(names) in {"large": (1,), "column": (2,), "grey": (1, 2, 3), "empty": (0,)}[sort]
    assert len(set(names)) == len(names)
    assert set(names) <= {*COLOURED_SHAPES, *GREY_SHAPES}
    assert size_of(seed) == (scene.height, scene.width)
    picture = scene.render()
    for shape in scene.shapes:
        assert shape.radius <= min(shape.x, scene.width - shape.x, shape.y, scene.height - shape.y)
        assert tuple(picture[int(shape.y), int(shape.x)]) == shape.rgb
    assert scene.is_column == (sort == "column")
    if sort == "column":
        assert scene.shapes[0].y + scene.shapes[0].radius < scene.shapes[1].y - scene.shapes[1].radius
    if sort == "grey":
        assert (picture == picture[..., :1]).all()
    if sort == "empty":
        assert abs(picture.astype(int) - picture[0, 0]).max() <= 12


def test_one_shape_can_be_as_large_as_the_picture():
    """Radii go from a fifth of the shorter side to 0.48 of it, evenly."""
    scenes = [draw_wide_scene(seed, "large") for seed in range(500)]
    parts = [scene.shapes[0].radius / min(scene.height, scene.width) for scene in scenes]
    assert 0.2 <= min(parts) < 0.21 and 0.47 < max(parts) <= 0.48
    assert abs(np.mean(parts) - 0.34) < 5 * 0.28 / np.sqrt(12 * 500)


def test_training_shows_wide_scenes_as_often_as_it_says():
    """A scene without shapes is WIDE times its share of them: five standard deviations of 4,000 draws."""
    empty = np.mean([not draw_training_scene(seed).shapes for seed in range(5_000_000, 5_004_000)])
    share = WIDE * WIDE_SORTS["empty"]
    assert abs(empty - share) < 5 * np.sqrt(share / 4000)
