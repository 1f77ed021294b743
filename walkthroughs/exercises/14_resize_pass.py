"""Exercise 14 of 34: One pass of resizing, as W x.

A picture is resized one axis at a time. With one row of weights for each new pixel, a pass over the height is a matrix
product, and its sums are rounded to bytes at once.

    out = clip(floor(W x + 1/2), 0, 255)

The cubic filter has negative weights, so a sum can leave the range of a byte at a sharp edge: it is clipped.

In the model: pillow_resize in walkthroughs/ovis2.py, resample_axis in ovis2_ref/image/resize.py.

Shapes stand in the signature: Float[np.ndarray, "tokens hidden"] is an array of floats with two axes, tokens and
hidden. Axes of the same name have the same length; *batch is any number of axes, also none.

    ovis2-ref exercise check resize_pass
"""

import numpy as np
from jaxtyping import Float, UInt8


def resize_pass(
    picture: UInt8[np.ndarray, "height width"], weights: Float[np.ndarray, "new_height height"]
) -> UInt8[np.ndarray, "new_height width"]:
    """Return the picture with its height resized: clip(floor(W x + 1/2), 0, 255) as bytes."""
    ...
