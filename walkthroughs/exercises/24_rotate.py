"""Exercise 24 of 34: Turn queries and keys.

Each pair of numbers (a, b) of a head is turned by its token's angle, as a point in the plane. Number i is paired with
number i + head_dim / 2: the first half of the head holds the a's, the second half the b's.

    (a, b)  ->  (a cos - b sin, b cos + a sin)

The product of a turned query and a turned key then depends only on how far apart the two tokens are.

In the model: rotate in walkthroughs/ovis2.py, rotate in ovis2_ref/language/rope.py.

Shapes stand in the signature: Float[np.ndarray, "tokens hidden"] is an array of floats with two axes, tokens and
hidden. Axes of the same name have the same length; *batch is any number of axes, also none.

    ovis2-ref exercise check rotate
"""

import numpy as np
from jaxtyping import Float


def rotate(
    x: Float[np.ndarray, "batch heads tokens head_dim"],
    cos: Float[np.ndarray, "batch tokens pairs"],
    sin: Float[np.ndarray, "batch tokens pairs"],
) -> Float[np.ndarray, "batch heads tokens head_dim"]:
    """Return `x` with every pair turned by its token's angle, the same in all heads."""
    ...
