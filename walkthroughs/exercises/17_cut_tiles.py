"""Exercise 17 of 34: Cut a canvas into tiles.

The picture was resized to a canvas whose edges are multiples of the tile's side. Cut it into tiles in reading order, and
put the thumbnail, the whole picture in one tile, before them. A canvas of one tile has no thumbnail: it would be the same
picture.

    (channels, rows side, columns side)  ->  (tiles, channels, side, side)

In the model: cut_canvas in walkthroughs/ovis2.py, cut_canvas in ovis2_ref/image/cutting.py.

Shapes stand in the signature: Float[np.ndarray, "tokens hidden"] is an array of floats with two axes, tokens and
hidden. Axes of the same name have the same length; *batch is any number of axes, also none.

    ovis2-ref exercise check cut_tiles
"""

import numpy as np
from jaxtyping import UInt8


def cut_tiles(
    canvas: UInt8[np.ndarray, "channels height width"], thumbnail: UInt8[np.ndarray, "channels side side"]
) -> UInt8[np.ndarray, "tiles channels side side"]:
    """Return the thumbnail and the tiles of `canvas` in reading order; only the tile itself if there is but one."""
    ...
