"""Choose the grid.

For every grid that a picture might be cut into, the share of its pixels that the tiles keep is known (the covering areas of
all regions over the picture's area). Ovis2 takes the fewest tiles that keep more than a threshold, 90 %; of as few tiles,
those that keep most. If no grid keeps enough, it takes the one that keeps most of all, and of equals the one with fewer
tiles.
"""

from collections.abc import Iterator

import numpy as np

from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong
from ovis2_ref.image import tiling


def choose_grid(kept: dict[tuple[int, int], float], threshold: float) -> tuple[int, int]:
    """Return the grid (rows, columns) to use; `kept` maps every grid to the share of the pixels that it keeps, from 0 to 1.

    Of grids that are equal in everything, the first in `kept` wins.
    """
    enough = [grid for grid in kept if kept[grid] > threshold]
    if enough:
        return min(enough, key=lambda grid: (grid[0] * grid[1], -kept[grid]))
    return min(kept, key=lambda grid: (-kept[grid], grid[0] * grid[1]))


def one_by_one(kept: dict[tuple[int, int], float], threshold: float) -> tuple[int, int]:
    """Return the same by comparing grid with grid."""
    best, best_enough = None, False
    for grid, share in kept.items():
        tiles, enough = grid[0] * grid[1], share > threshold
        if best is None:
            better = True
        elif enough != best_enough:
            better = enough
        elif enough:
            fewer = best[0] * best[1] - tiles
            better = fewer > 0 or (fewer == 0 and share > kept[best])
        else:
            better = share > kept[best] or (share == kept[best] and tiles < best[0] * best[1])
        if better:
            best, best_enough = grid, enough
    assert best is not None
    return best


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    for kept, threshold in (
        ({(1, 1): 0.5, (1, 2): 0.95}, 0.9),
        ({(1, 1): 0.95, (1, 2): 1.0}, 0.9),
        ({(1, 1): 0.9, (1, 2): 0.95}, 0.9),
        ({(1, 2): 0.92, (2, 1): 0.96}, 0.9),
        ({(2, 1): 0.96, (1, 2): 0.92}, 0.9),
        ({(1, 2): 0.6, (2, 1): 0.8}, 0.9),
        ({(1, 1): 0.3, (1, 2): 0.6, (2, 1): 0.5}, 0.9),
        ({(1, 3): 0.6, (1, 1): 0.6, (2, 1): 0.5}, 0.9),
        ({(1, 5): 0.95, (2, 2): 0.91}, 0.9),
        ({(1, 3): 0.97, (3, 1): 0.97, (1, 4): 0.99}, 0.9),
        ({(1, 1): 0.5, (1, 4): 0.7, (2, 2): 0.7}, 0.6),
        ({(3, 1): 0.97, (1, 3): 0.97}, 0.9),
        ({(2, 1): 0.6, (1, 2): 0.6}, 0.9),
        ({(2, 3): 0.6, (1, 5): 0.6}, 0.9),
        ({(3, 1): 0.6, (1, 2): 0.6}, 0.9),
    ):
        yield {"kept": kept, "threshold": threshold}
    for most in (4, 6, 9):
        grids = tiling.candidate_grids(1, most)
        shares = rng.choice([0.5, 0.7, 0.8, 0.85, 0.92, 0.97], len(grids))
        yield {"kept": {grid: float(share) for grid, share in zip(grids, shares, strict=True)}, "threshold": 0.8}


EXERCISE = Exercise(
    answer=choose_grid,
    expected=one_by_one,
    cases=cases,
    one_file="covering_grid",
    minutes=12,
    hints=(
        "Two cases: some grid keeps enough, or none does. What is compared first in each?",
        (
            "min with a key of two parts compares the second where the first are equal. A minus sign turns largest into "
            "smallest."
        ),
        "min(enough, key=lambda grid: (grid[0] * grid[1], -kept[grid]))",
    ),
    wrong=(
        wrong(
            "most pixels always",
            "Fewer tiles win, as long as they keep enough.",
            ("(grid[0] * grid[1], -kept[grid]))\n", "(-kept[grid], grid[0] * grid[1]))\n"),
        ),
        wrong(
            "threshold left out",
            "Grids that keep too little are no candidates while others keep enough.",
            ("[grid for grid in kept if kept[grid] > threshold]", "list(kept)"),
        ),
        wrong(
            "the threshold is enough",
            "More than the threshold: exactly 90 % doesn't do.",
            ("> threshold", ">= threshold"),
        ),
        wrong(
            "fewest of the rest",
            "If no grid keeps enough, the one that keeps most wins, however many tiles it has.",
            ("(-kept[grid], grid[0] * grid[1])", "(grid[0] * grid[1], -kept[grid])"),
        ),
        wrong(
            "rows and columns added",
            "Tiles are rows times columns.",
            ("(grid[0] * grid[1], -kept[grid])", "(grid[0] + grid[1], -kept[grid])"),
            ("(-kept[grid], grid[0] * grid[1])", "(-kept[grid], grid[0] + grid[1])"),
        ),
        wrong(
            "keeps least",
            "Of as few tiles, those that keep most: a minus sign is missing.",
            ("(grid[0] * grid[1], -kept[grid])", "(grid[0] * grid[1], kept[grid])"),
        ),
        wrong(
            "most tiles",
            "The fewest tiles that keep enough.",
            ("min(enough, key=lambda grid: (grid[0]", "min(enough, key=lambda grid: (-grid[0]"),
        ),
        wrong(
            "the first that keeps enough",
            "Of as few tiles, the grid that keeps most wins, not the first.",
            ("min(enough, key=lambda grid: (grid[0] * grid[1], -kept[grid]))", "enough[0]"),
        ),
        wrong(
            "ties in the fallback",
            "Of grids that keep as much, the one with fewer tiles wins.",
            ("key=lambda grid: (-kept[grid], grid[0] * grid[1])", "key=lambda grid: -kept[grid]"),
        ),
        wrong(
            "one tile as fallback",
            "If no grid keeps enough, the one that keeps most wins.",
            ("min(kept, key=lambda grid: (-kept[grid], grid[0] * grid[1]))", "next(iter(kept))"),
        ),
        wrong(
            "columns, rows",
            "A grid is (rows, columns), as it came.",
            (
                "return min(enough, key=lambda grid: (grid[0] * grid[1], -kept[grid]))",
                "return min(enough, key=lambda grid: (grid[0] * grid[1], -kept[grid]))[::-1]",
            ),
        ),
        wrong(
            "the first that keeps most",
            "Fewer tiles come first above the threshold, and decide between equals below it.",
            ("if enough:", "if False:"),
            (
                "return min(kept, key=lambda grid: (-kept[grid], grid[0] * grid[1]))",
                "return max(kept, key=lambda grid: kept[grid])",
            ),
        ),
        wrong(
            "one tile where none keeps enough",
            "If no grid keeps enough, the one that keeps most is taken.",
            ("return min(kept, key=lambda grid: (-kept[grid], grid[0] * grid[1]))", "return (1, 1)"),
        ),
    ),
    solution=(tiling.covering_grid,),
    notice=(
        "the project makes `kept` from `split_regions` and `covering_area`, your first exercises, and chooses as you "
        "did. transformers' caller then takes (rows, columns) for (columns, rows): a quirk that the project reproduces,"
        " and names."
    ),
)
