"""Pillow draws the same shapes in the same places, in the way that each look says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovis2_ref.tiny.training.robustness import LOOKS, Look
from ovis2_ref.tiny.training.scenes import draw_scene

seeds = st.integers(0, 10_000_000)


@settings(max_examples=25)
@given(seeds)
def test_pillow_draws_the_scene(seed):
    """Filled, smoothed and on a plain background it is nearly the picture that the scene renders itself."""
    scene = draw_scene(seed)
    expected = scene.render().astype(float)
    drawn = Look().render(scene, seed).astype(float)
    assert drawn.shape == expected.shape
    assert abs(drawn - expected).mean() < 8


@pytest.mark.parametrize("name", LOOKS)
@settings(max_examples=5, deadline=None)
@given(seeds)
def test_every_shape_is_in_its_place(name, seed):
    """The centre of a filled shape has its colour and that of an outline alone has not; the size is the one asked for."""
    scene, look = draw_scene(seed), LOOKS[name]
    picture = look.render(scene, seed).astype(int)
    longer = look.longer or max(scene.height, scene.width)
    assert picture.dtype == int
    assert max(picture.shape[:2]) == longer
    factor = longer / max(scene.height, scene.width)
    for shape in scene.shapes:
        x, y = int(shape.x * factor), int(shape.y * factor)
        difference = abs(picture[y, x] - shape.rgb).max()
        if look.shapes != "outlined":
            assert difference < 60
        elif shape.kind != "cross":  # the arms of an outlined cross may be too narrow to leave a gap
            assert difference > 25


@given(seeds)
@settings(max_examples=10)
def test_a_look_follows_from_the_seed(seed):
    """The same scene and seed give the same picture, chance and all."""
    scene = draw_scene(seed)
    for look in (LOOKS["on grain"], LOOKS["shapes tilted by up to 15 degrees"]):
        np.testing.assert_array_equal(look.render(scene, seed), look.render(scene, seed))
