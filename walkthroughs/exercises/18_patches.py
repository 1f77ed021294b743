"""Exercise 18 of 34: Patches by a reshape.

The ViT sees a tile as patches of p x p pixels in reading order. Its first layer is a convolution whose stride is its
kernel, and that is one matrix product over the patches, each flattened to a row: first the channel, then the row, then the
column.

    (tiles, channels, height, width)  ->  (tiles, patches, channels p p)

Pixels to the right of and below the last whole patch are not looked at.

In the model: patch_embedding in walkthroughs/ovis2.py, patch_embedding in ovis2_ref/vision/encoder.py.

Shapes stand in the signature: Float[np.ndarray, "tokens hidden"] is an array of floats with two axes, tokens and
hidden. Axes of the same name have the same length; *batch is any number of axes, also none.

    ovis2-ref exercise check patches
"""

import numpy as np
from jaxtyping import Float


def patches(
    pixel_values: Float[np.ndarray, "tiles channels height width"], p: int
) -> Float[np.ndarray, "tiles patches numbers"]:
    """Return the p x p patches of every tile in reading order, each as one row."""
    ...
