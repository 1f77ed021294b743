"""Both resamplers against the originals, the installed Pillow's `Image.resize` and torch's `interpolate`: no byte may differ."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ovis2_ref.image.filters import FILTERS, PILLOW_BITS, fixed_point, windows
from ovis2_ref.image.resize import ORDERS, pillow_resize, resample_axis, to_bytes, torch_resize, vertical_first
from tests.image.drawn import INSTALLED, NUMBERS, lengths, noise, sizes
from tests.strategies import seeds

names = st.sampled_from(sorted(NUMBERS))


def by_pillow(picture: np.ndarray, size: tuple[int, int], name: str) -> np.ndarray:
    """`picture` (3, h, w) resized to `size` (height, width) by the installed Pillow."""
    image = Image.fromarray(np.ascontiguousarray(picture.transpose(1, 2, 0)))
    return np.asarray(image.resize((size[1], size[0]), NUMBERS[name])).transpose(2, 0, 1)


@given(sizes, sizes, names, seeds)
def test_pillow(size: tuple[int, int], new_size: tuple[int, int], name: str, seed: int) -> None:
    """Every filter, from any size to any size."""
    picture = noise(seed, 3, *size)
    np.testing.assert_array_equal(pillow_resize(picture, new_size, name, INSTALLED), by_pillow(picture, new_size, name))


@pytest.mark.parametrize("order", ORDERS)
@given(size=sizes, new_size=sizes, name=names.filter(lambda name: name != "nearest"), seed=seeds)
def test_orders(order: str, size: tuple[int, int], new_size: tuple[int, int], name: str, seed: int) -> None:
    """Each order of passes, whatever Pillow is installed: Pillow is asked for one axis, then for the other."""
    picture = noise(seed, 3, *size)
    first = (new_size[0], size[1]) if vertical_first(size, new_size, order) else (size[0], new_size[1])
    expected = by_pillow(by_pillow(picture, first, name), new_size, name)
    np.testing.assert_array_equal(pillow_resize(picture, new_size, name, order), expected)


@given(st.integers(2, 40), st.integers(1, 40), st.integers(1, 40), st.integers(-1, 2), seeds)
def test_where_the_order_turns(width: int, less: int, new_height: int, more: int, seed: int) -> None:
    """Sizes on both sides of h - H = 2 (w - W), where Pillow 13 changes the order."""
    new_width = max(width - less, 1)
    size, new_size = (max(new_height + 2 * (width - new_width) + more, 1), width), (new_height, new_width)
    picture = noise(seed | 1, 3, *size)
    expected = by_pillow(picture, new_size, "bicubic")
    np.testing.assert_array_equal(pillow_resize(picture, new_size, "bicubic", INSTALLED), expected)


def test_order_shows() -> None:
    """A 300x100 (h x w) picture brought to 90x90: Pillow 13 resizes its columns first, older ones its rows; bytes differ."""
    picture = noise(1, 3, 300, 100)
    new, old = (pillow_resize(picture, (90, 90), "bicubic", order) for order in ("13", "12.2"))
    assert (new != old).mean() > 0.01
    assert [vertical_first((2020, 20), (90, 90), order) for order in ORDERS] == [True, True, False]


@given(sizes, lengths, names.filter(lambda name: name != "nearest"), seeds, st.sampled_from([1, 2]))
def test_one_pass(size: tuple[int, int], length: int, name: str, seed: int, axis: int) -> None:
    """One pass along one axis is Pillow's resizing of that axis alone."""
    picture = noise(seed, 3, *size)
    band = windows(size[axis - 1], length, FILTERS[name])
    band = band._replace(weights=fixed_point(band.weights, PILLOW_BITS))
    new_size = (length, size[1]) if axis == 1 else (size[0], length)
    expected = by_pillow(picture, new_size, name) if length != size[axis - 1] else picture
    np.testing.assert_array_equal(resample_axis(picture, band, axis), expected)
    W = band.matrix()  # the pass as its docstring writes it
    np.testing.assert_array_equal(to_bytes(W @ picture if axis == 1 else picture @ W.T), expected)


@given(sizes, sizes, st.sampled_from(["bilinear", "bicubic"]), seeds)
def test_torch(size: tuple[int, int], new_size: tuple[int, int], name: str, seed: int) -> None:
    """torch's antialiased filters; not to 1x1, where torch 2.13 itself fails on an internal assertion."""
    picture = noise(seed, 3, *size)
    if new_size == (1, 1):
        new_size = (2, 1)
    expected = torch.nn.functional.interpolate(torch.tensor(picture)[None], new_size, mode=name, antialias=True)[0]
    np.testing.assert_array_equal(torch_resize(picture, new_size, name), expected.numpy())


@given(st.integers(1, 3000), st.integers(1, 700), st.sampled_from(sorted(FILTERS)))
def test_windows(size_in: int, size_out: int, name: str) -> None:
    """Every row of the matrix sums to 1, and the windows are as few as their docstring says."""
    band = windows(size_in, size_out, FILTERS[name])
    # A row has at most `size_in` weights, whose sizes add up to 1.4 at most; each, and each sum, is rounded.
    error = (size_in + 1) * 1.4 * np.finfo(np.float64).eps
    np.testing.assert_allclose(band.matrix().sum(axis=1), 1.0, rtol=0, atol=error)
    width = 2 * FILTERS[name].support * max(size_in / size_out, 1.0) + 2
    assert band.weights.shape[1] <= min(width, size_in)


@pytest.mark.parametrize("size", [(60000, 3), (3, 60000)])
def test_strip(size: tuple[int, int]) -> None:
    """A strip of 60,000 pixels, whose windows are hundreds of pixels wide."""
    picture = noise(3, 3, *size)
    np.testing.assert_array_equal(
        pillow_resize(picture, (64, 64), "lanczos", INSTALLED), by_pillow(picture, (64, 64), "lanczos")
    )
