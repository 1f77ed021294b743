"""Exercise 2 of 34: The cubic filter.

Resizing makes every new pixel a weighted mean of the old ones around it. The weight falls with the distance x from the new
pixel's centre; Keys (1981) made it of two cubic polynomials, with a free number a. Pillow, and so Ovis2, has a = -1/2.

    (a + 2)|x|^3 - (a + 3)|x|^2 + 1              for |x| < 1
    a|x|^3 - 5a|x|^2 + 8a|x| - 4a                for 1 <= |x| < 2
    0                                            beyond

In the model: bicubic in walkthroughs/ovis2.py, bicubic in ovis2_ref/image/filters.py.

Shapes stand in the signature: Float[np.ndarray, "tokens hidden"] is an array of floats with two axes, tokens and
hidden. Axes of the same name have the same length; *batch is any number of axes, also none.

    ovis2-ref exercise check cubic
"""

import numpy as np
from jaxtyping import Float


def cubic(x: Float[np.ndarray, "out taps"]) -> Float[np.ndarray, "out taps"]:
    """Return the weight at every distance in `x` (in pixels, of either sign), for a = -1/2."""
    ...
