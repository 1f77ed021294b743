"""The drawings, against the arrays that they are of: a pixel must show what the array holds there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovis2_ref.image.filters import FILTERS, windows
from ovis2_ref.tools.draw import GAP, LINE, draw_grid, draw_tiles, draw_weights

grids = st.tuples(st.integers(1, 4), st.integers(1, 4))


@given(grids, st.integers(40, 400), st.integers(40, 400))
def test_grid(grid: tuple[int, int], height: int, width: int) -> None:
    """Lines of the grid run where they should, and inside a cell, beside its number, the picture is seen.

    In a cell of at least 24 pixels the number ends before 0.9 of its height and width, and a line drawn at a rounded place
    begins after it: 0.1 of 24 is more than one pixel.
    """
    picture = np.full((height, width, 3), 77, np.uint8)
    drawn = np.asarray(draw_grid(picture, grid))
    factor = drawn.shape[0] / height
    assert drawn.shape[:2] == (height * factor, width * factor)
    assert max(drawn.shape) >= 256 and drawn.shape[0] >= 24 * grid[0] and drawn.shape[1] >= 24 * grid[1]
    rows, columns = grid
    for row in range(rows):
        for column in range(columns):
            y, x = (row + 0.9) * (drawn.shape[0] - 1) / rows, (column + 0.9) * (drawn.shape[1] - 1) / columns
            assert (drawn[int(y), int(x)] == 77).all()
            top = (
                drawn[round(row * (drawn.shape[0] - 1) / rows) + np.arange(-1, 2), int(x)] if row else drawn[:1, int(x)]
            )
            assert (top == LINE).all(axis=-1).any()


@given(grids, st.integers(24, 40))
def test_tiles(grid: tuple[int, int], side: int) -> None:
    """Each tile lies in its cell, thumbnail at the left, its levels stretched from the lowest to the highest value."""
    rows, columns = grid
    count = rows * columns + (rows * columns > 1)
    values = np.random.default_rng(count).standard_normal((count, 3, side, side)).astype(np.float32)
    drawn = np.asarray(draw_tiles(values, grid)).astype(int)
    levels = (values - values.min()) / (values.max() - values.min()) * 255
    first = int(count > 1)
    cells = [(0, 0)] * first + [(row, column + first) for row in range(rows) for column in range(columns)]
    for tile, (row, column) in zip(levels, cells, strict=True):
        top, left = GAP + row * (side + GAP), GAP + column * (side + GAP)
        shown = drawn[top : top + side, left : left + side].transpose(2, 0, 1)
        # A label covers the upper left corner.
        assert np.abs(shown[:, 20:] - tile[:, 20:]).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_weights(name: str) -> None:
    """White where there is no weight, red where it is positive, blue where negative."""
    weights = windows(30, 12, FILTERS[name]).matrix()
    drawn = np.asarray(draw_weights(weights)).astype(int)
    side = drawn.shape[0] // 12
    assert drawn.shape == (12 * side, 30 * side, 3)
    cells = drawn[::side, ::side]
    assert (cells[weights == 0] == 255).all()
    strong = np.abs(weights) > 0.05 * np.abs(weights).max()
    assert (cells[strong & (weights > 0)][:, 0] > cells[strong & (weights > 0)][:, 2]).all()
    assert (cells[strong & (weights < 0)][:, 0] < cells[strong & (weights < 0)][:, 2]).all()
