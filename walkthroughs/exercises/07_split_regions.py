"""Exercise 7 of 34: Split a picture into regions.

A picture is cut into a grid of rows x columns regions in reading order: the first row from left to right, then the second.
Every region has height // rows by width // columns pixels, and those of the last row and of the last column also take what
the division leaves over.

A picture of 5 x 7 pixels (height x width) in 1 row and 3 columns: (0, 0, 2, 5), (2, 0, 4, 5), (4, 0, 7, 5).

In the model: covering_grid in walkthroughs/ovis2.py, split_regions in ovis2_ref/image/tiling.py.

    ovis2-ref exercise check split_regions
"""

import numpy as np


def split_regions(height: int, width: int, rows: int, columns: int) -> list[tuple[int, int, int, int]]:
    """Return (left, upper, right, lower) of every region in reading order; right and lower are outside, as in a slice."""
    ...
