"""The two rules that find a grid, against transformers' own functions; the regions, against what a grid has to be."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ovis2_ref.errors import InputError
from ovis2_ref.image.tiling import candidate_grids, closest_grid, covering_grid, split_regions
from tests.image.drawn import Reference

reference = sys.modules[Reference.__module__]
edges = st.one_of(st.integers(1, 60), st.integers(1, 3000), st.sampled_from([448, 896, 1344, 60000]))
tiles = st.sampled_from([1, 14, 64, 100, 448])


@st.composite
def tiled(draw: st.DrawFn) -> tuple[int, int, int]:
    """A picture's height and width and a tile's side: any, or edges of up to five tiles, where grids compete."""
    side = draw(tiles)
    near = st.integers(max(1, side // 3), 5 * side)
    return draw(edges | near), draw(edges | near), side


@given(tiled(), st.integers(1, 20), st.sampled_from([0.9, 0.5, 0.99, 1.0, 0.0]))
def test_covering_grid(sizes: tuple[int, int, int], most: int, threshold: float) -> None:
    """The covering area's grid, (rows, columns) as the search returns it."""
    height, width, side = sizes
    expected = reference.get_min_tile_covering_grid((height, width), side, most, threshold)
    assert covering_grid(height, width, side, most, threshold) == expected


@given(edges, edges, st.tuples(tiles, tiles), st.integers(1, 20), st.data())
def test_closest_grid(height: int, width: int, tile: tuple[int, int], most: int, data: st.DataObject) -> None:
    """The closest aspect ratio's grid; transformers returns (columns, rows)."""
    least = data.draw(st.integers(1, most))
    columns, rows = reference.get_optimal_tiled_canvas((height, width), tile, least, most)
    assert closest_grid(height, width, tile, least, most) == (rows, columns)


@pytest.mark.parametrize(("side", "grid"), [(90, (1, 1)), (91, (2, 2)), (200, (3, 3))])
def test_tie(side: int, grid: tuple[int, int]) -> None:
    """A square picture is as close to 1x1 as to 2x2 and 3x3 (tiles of 64): more than half the canvas' pixels decide."""
    assert closest_grid(side, side, (64, 64), 1, 9) == grid


@given(edges, edges, st.integers(1, 6), st.integers(1, 6))
def test_regions(height: int, width: int, rows: int, columns: int) -> None:
    """Regions touch without overlapping and cover every pixel, in reading order."""
    regions = split_regions(height, width, (rows, columns))
    assert sum((right - left) * (lower - upper) for left, upper, right, lower in regions) == height * width
    assert regions == sorted(regions, key=lambda region: (region[1], region[0])) or 0 in (
        height // rows,
        width // columns,
    )
    for index, (left, upper, right, lower) in enumerate(regions):
        if index % columns:
            assert regions[index - 1][2] == left
        if index >= columns:
            assert regions[index - columns][3] == upper
        assert (right == width) == (index % columns == columns - 1) or width < columns
        assert (lower == height) == (index // columns == rows - 1) or height < rows


@pytest.mark.parametrize("bounds", [(0, 9), (5, 4), (1, 10**9)])
def test_refused(bounds: tuple[int, int]) -> None:
    """Bounds that hold no grid, or so many that the search would not end."""
    with pytest.raises(InputError, match="max_patches"):
        candidate_grids(*bounds)
