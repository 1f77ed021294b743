"""Exercise 8 of 34: Choose the grid.

For every grid that a picture might be cut into, the share of its pixels that the tiles keep is known (the covering areas of
all regions over the picture's area). Ovis2 takes the fewest tiles that keep more than a threshold, 90 %; of as few tiles,
those that keep most. If no grid keeps enough, it takes the one that keeps most of all, and of equals the one with fewer
tiles.

In the model: covering_grid in walkthroughs/ovis2.py, covering_grid in ovis2_ref/image/tiling.py.

    ovis2-ref exercise check choose_grid
"""

import numpy as np


def choose_grid(kept: dict[tuple[int, int], float], threshold: float) -> tuple[int, int]:
    """Return the grid (rows, columns) to use; `kept` maps every grid to the share of the pixels that it keeps, from 0 to 1.

    Of grids that are equal in everything, the first in `kept` wins.
    """
    ...
