"""Exercise 19 of 34: Merge neighbouring patches.

The ViT's features are one row for each patch. The visual tokenizer lays the features of each stride x stride square of
patches side by side, so that there are stride^2 times fewer visual tokens, each with stride^2 times the features. The
squares come in reading order, and so do the patches inside a square. With stride 2:

    patches    0  1  2  3        tokens    [0 1 4 5]    [2 3 6 7]
               4  5  6  7                  [8 9 12 13]  [10 11 14 15]
               8  9 10 11
              12 13 14 15

In the model: merge_patches in walkthroughs/ovis2.py, merge_patches in ovis2_ref/vision/visual_tokenizer.py.

Shapes stand in the signature: Float[np.ndarray, "tokens hidden"] is an array of floats with two axes, tokens and
hidden. Axes of the same name have the same length; *batch is any number of axes, also none.

    ovis2-ref exercise check merge_patches
"""

import numpy as np
from jaxtyping import Float


def merge_patches(
    features: Float[np.ndarray, "tiles patches hidden"], stride: int
) -> Float[np.ndarray, "tiles tokens numbers"]:
    """Return the features of every square side by side. The patches form a square grid whose side `stride` divides."""
    ...
