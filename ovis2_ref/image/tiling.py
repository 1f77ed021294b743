"""Choose the grid: how many rows and columns of tiles a picture is cut into.

A grid is (rows, columns). Two rules find one: the covering area (the authors', and transformers' default), and the closest
aspect ratio (transformers' `use_covering_area_grid=False`). Pure integer and float arithmetic, as the two programs do it.
"""

from functools import lru_cache

from ovis2_ref.errors import InputError

Grid = tuple[int, int]
Region = tuple[int, int, int, int]
"""left, upper, right, lower, in pixels; the right and the lower edge are outside."""

MAX_TILES = 256
"""Limit on `max_patches`, which may come from a file: the search tries every grid, in a time that grows with the square."""


@lru_cache(maxsize=16)
def candidate_grids(min_tiles: int, max_tiles: int) -> tuple[Grid, ...]:
    """Return every (a, b) with min_tiles <= a b <= max_tiles, fewest tiles first, then by a.

    Raises `InputError` unless 1 <= min_tiles <= max_tiles <= MAX_TILES.
    """
    if not 1 <= min_tiles <= max_tiles <= MAX_TILES:
        raise InputError(
            f"min_patches={min_tiles} and max_patches={max_tiles} should be 1 <= min_patches <= max_patches <= {MAX_TILES}"
        )
    grids = [(a, b) for a in range(1, max_tiles + 1) for b in range(1, max_tiles // a + 1) if min_tiles <= a * b]
    return tuple(sorted(grids, key=lambda grid: grid[0] * grid[1]))


def split_regions(height: int, width: int, grid: Grid) -> list[Region]:
    """Split the picture's pixels among the grid's cells, in reading order; the last row and column take the remainder."""
    rows, columns = grid
    row_height, column_width = height // rows, width // columns
    return [
        (
            column * column_width,
            row * row_height,
            width if column == columns - 1 else (column + 1) * column_width,
            height if row == rows - 1 else (row + 1) * row_height,
        )
        for row in range(rows)
        for column in range(columns)
    ]


def covering_area(region: Region, side: int) -> float:
    """Return l s, or side (s / l side) where l > side: the pixels that a region of edges l >= s keeps, fitted into `side`.

    The aspect ratio is kept, and a smaller region is not enlarged.
    """
    left, upper, right, lower = region
    longer, shorter = max(right - left, lower - upper), min(right - left, lower - upper)
    if longer > side:
        return side * (shorter / longer * side)
    return longer * shorter


@lru_cache(maxsize=256)
def covering_grid(height: int, width: int, side: int, max_tiles: int, threshold: float = 0.9) -> Grid:
    """Return the grid (rows, columns) with the fewest tiles that together keep more than `threshold` of the picture's pixels.

    Of grids with equally few tiles, the one that keeps most; if no grid keeps enough, the one that keeps most of all. Source:
    the authors' `preprocess_image`; transformers' `get_min_tile_covering_grid`, whose caller then takes the result as (columns,
    rows).
    """
    kept = {
        grid: sum(covering_area(region, side) for region in split_regions(height, width, grid)) / (height * width)
        for grid in candidate_grids(1, max_tiles)
    }
    enough = [grid for grid, ratio in kept.items() if ratio > threshold]
    if enough:
        return min(enough, key=lambda grid: (grid[0] * grid[1], -kept[grid]))
    return min(kept, key=lambda grid: (-kept[grid], grid[0] * grid[1]))


@lru_cache(maxsize=256)
def closest_grid(height: int, width: int, tile: tuple[int, int], min_tiles: int, max_tiles: int) -> Grid:
    """Return the grid (rows, columns) whose columns / rows is closest to width / height.

    Of equally close grids, a later one (more tiles) wins if the picture has more than half its canvas' pixels, for tiles of
    `tile` (height, width). Source: transformers' `get_optimal_tiled_canvas`, whose grids are (columns, rows).
    """
    ratio, best, smallest = width / height, (1, 1), float("inf")
    for columns, rows in candidate_grids(min_tiles, max_tiles):
        difference = abs(ratio - columns / rows)
        roomy = height * width > 0.5 * tile[0] * tile[1] * columns * rows
        if difference < smallest or (difference == smallest and roomy):
            smallest, best = difference, (rows, columns)
    return best
