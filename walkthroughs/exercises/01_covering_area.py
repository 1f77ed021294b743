"""Exercise 1 of 34: Covering area.

A large picture is cut into regions, and each region becomes a tile of side x side pixels. A region that is larger than the
tile is shrunk until its longer edge fits, its aspect ratio kept; a smaller one stays as it is. The covering area is what is
left of the region's pixels. Ovis2 chooses the grid of a picture by it.

    f = min(1, side / longer edge),    area = (f height) (f width)

A region of 8 x 4 pixels in tiles of 4 x 4: f = 1/2, so 4 x 2 = 8 pixels are left of 32.

In the model: covering_area in walkthroughs/ovis2.py, covering_area in ovis2_ref/image/tiling.py.

    ovis2-ref exercise check covering_area
"""

import numpy as np


def covering_area(height: int, width: int, side: int) -> float:
    """Return the area in pixels that is left of a region of height x width pixels in a tile of side x side.

    The result need not be a whole number.
    """
    ...
