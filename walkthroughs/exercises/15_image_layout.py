"""Exercise 15 of 34: The layout of a picture in the prompt.

A picture's visual tokens are written into the prompt as <IMG_ATOM>s, with indicator tokens between them that show the grid.
With @ for a tile's atoms, the thumbnail first, a grid of 2 rows and 3 columns is

    <IMG_START> @ <IMG_GRID>
        @ <IMG_COL> @ <IMG_COL> @ <IMG_ROW>
        @ <IMG_COL> @ <IMG_COL> @
    <IMG_END>

so <IMG_COL> stands between the tiles of a row, and <IMG_ROW> between rows. A grid of 1 x 1 has no tiles after <IMG_GRID>:
its thumbnail is all there is.

In the model: image_placeholder in walkthroughs/ovis2.py, picture_layout in ovis2_ref/text/layout.py.

    ovis2-ref exercise check image_layout
"""

import numpy as np


def image_layout(rows: int, columns: int, tokens_per_tile: int) -> list[str]:
    """Return the tokens of a picture cut into rows x columns tiles, each tile as `tokens_per_tile` <IMG_ATOM>s."""
    ...
