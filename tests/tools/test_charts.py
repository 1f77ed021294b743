"""The charts, against the numbers that they are of: colours, lengths and places must say what the numbers say."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ovis2_ref.tools.charts import GREY, MARGIN, PAPER, SERIES, bars, colours, curves, heatmap, panel, spotlight

seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.integers(1, 5), st.integers(1, 5))
def test_colours(seed: int, rows: int, columns: int) -> None:
    """Reddish above 0, bluish below, and darker the further from 0."""
    values = np.random.default_rng(seed).standard_normal((rows, columns))
    drawn = colours(values, float(np.abs(values).max())).astype(int)
    lightness = drawn.sum(axis=-1)
    assert (drawn[..., 0] >= drawn[..., 2])[values > 0].all() and (drawn[..., 2] >= drawn[..., 0])[values < 0].all()
    for sign in (values > 0, values < 0):
        order = np.argsort(np.abs(values[sign]))
        assert (np.diff(lightness[sign][order]) <= 0).all()


@settings(max_examples=20)
@given(seeds, st.integers(1, 6), st.integers(1, 6), st.integers(10, 20))
def test_heatmap(seed: int, rows: int, columns: int, cell: int) -> None:
    """A cell's middle has its value's colour. Without names the matrix lies below the caption, at the left."""
    values = np.random.default_rng(seed).standard_normal((rows, columns))
    chart = np.asarray(heatmap(values, "numbers", cell=cell))
    outline = np.flatnonzero((chart[:, MARGIN] == GREY).all(axis=-1))
    top, left = outline[-1] + 1 - rows * cell, MARGIN
    expected = colours(values, float(np.abs(values).max()))
    middle = cell // 2
    for i in range(rows):
        for j in range(columns):
            assert (chart[top + i * cell + middle, left + j * cell + middle] == expected[i, j]).all()


@settings(max_examples=20)
@given(seeds, st.integers(1, 4), st.integers(1, 4))
def test_spotlight(seed: int, rows: int, columns: int) -> None:
    """A white picture is as bright in each cell as its weight, from 40 of 255 for nothing to 255 for the largest."""
    weights = np.random.default_rng(seed).random((rows, columns))
    white = np.full((rows * 30, columns * 30, 3), 255, np.uint8)
    lit = np.asarray(spotlight(white, weights, 30 * max(rows, columns))).astype(float)
    middles = lit[15::30, 15::30, 0]
    np.testing.assert_allclose(middles, 40 + 215 * weights / weights.max(), atol=1)


@settings(max_examples=20)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=8).filter(lambda values: max(values) > 1e-3))
def test_bars(values: list[float]) -> None:
    """Bars are as long as their values, up to a pixel at each end."""
    chart = np.asarray(bars({str(i): value for i, value in enumerate(values)}, "lengths"))
    blue = (chart == SERIES[0]).all(axis=-1)
    lengths = np.array([row.sum() for row in blue if row.any()])
    heights = np.flatnonzero(blue.any(axis=1))
    starts = heights[np.flatnonzero(np.diff(heights, prepend=-9) > 1)]
    found = [blue[start + 2].sum() for start in starts]
    assert len(found) == len(values)
    np.testing.assert_allclose(
        np.array(found) / lengths.max(), np.array(values) / max(values), atol=2.5 / lengths.max()
    )


def test_curves() -> None:
    """A rising and a falling line: at the left the one is below, at the right the other; each has its own colour."""
    chart = np.asarray(curves({"up": ([0, 1, 2], [0, 1, 2]), "down": ([0, 1, 2], [2, 1, 0])}, "lines", "x", "y"))
    places = [np.argwhere((chart[:, :600] == colour).all(axis=-1)) for colour in SERIES[:2]]
    for (rows, columns), rises in zip((place.T for place in places), (True, False), strict=True):
        left, right = rows[columns < columns.min() + 40].mean(), rows[columns > columns.max() - 40].mean()
        assert (left > right) == rises


@settings(max_examples=20)
@given(seeds, st.integers(1, 5), st.integers(1, 3))
def test_panel(seed: int, count: int, columns: int) -> None:
    """Every picture is there, whole, in reading order, and nothing else has colours."""
    random = np.random.default_rng(seed)
    shades = random.permutation(np.arange(1, 20))[:count]
    pictures = [Image.new("RGB", (int(random.integers(10, 60)), 20), (int(shade), 200, 0)) for shade in shades]
    sheet = np.asarray(panel(pictures, "some pictures", [str(i) for i in range(count)], columns))
    corners = []
    for shade, picture in zip(shades, pictures, strict=True):
        places = np.argwhere((sheet == (shade, 200, 0)).all(axis=-1))
        assert len(places) == picture.width * picture.height
        corners.append((places[:, 0].min(), places[:, 1].min()))
    assert corners == sorted(corners)
    assert (sheet[0] == PAPER).all()
