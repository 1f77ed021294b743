"""Exercise 13 of 34: Pillow's fixed point.

Pillow resizes bytes in whole numbers: each weight becomes a multiple of 2^-22, and sums of bytes times such weights are
exact. To be equal to Pillow in every byte, round the weights as it does: to the nearest multiple of 2^-bits, halves away
from zero.

    with 1 bit:  0.25 -> 0.5    -0.25 -> -0.5    0.2 -> 0    -0.7 -> -0.5

In the model: windows in walkthroughs/ovis2.py, fixed_point in ovis2_ref/image/filters.py.

Shapes stand in the signature: Float[np.ndarray, "tokens hidden"] is an array of floats with two axes, tokens and
hidden. Axes of the same name have the same length; *batch is any number of axes, also none.

    ovis2-ref exercise check fixed_point
"""

import numpy as np
from jaxtyping import Float


def fixed_point(weights: Float[np.ndarray, "out taps"], bits: int) -> Float[np.ndarray, "out taps"]:
    """Return `weights` (float64) rounded to multiples of 2^-bits, halves away from zero.

    They stay float64 numbers, which hold such multiples exactly.
    """
    ...
