"""Exercise 31 of 34: The weights of a resize.

Row i of the matrix W holds the weights of new pixel i. With s = size_in / size_out and t = max(s, 1), the pixel's centre
lies at c = (i + 1/2) s among the old ones, and with f a filter that is cut off at its support r,

    w[i, j] = f((j + 1/2 - c) / t)   for   int(c - r t + 1/2) <= j < int(c + r t + 1/2),   0 elsewhere,

with j from 0 to size_in - 1, and every row divided by its sum. A picture that shrinks stretches the filter (t > 1): every
old pixel counts, which is what "antialias" means.

In the model: windows in walkthroughs/ovis2.py, windows in ovis2_ref/image/filters.py.

Shapes stand in the signature: Float[np.ndarray, "tokens hidden"] is an array of floats with two axes, tokens and
hidden. Axes of the same name have the same length; *batch is any number of axes, also none.

    ovis2-ref exercise check resize_matrix
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float


def resize_matrix(
    size_in: int, size_out: int, kernel: Callable[[np.ndarray], np.ndarray], support: float
) -> Float[np.ndarray, "size_out size_in"]:
    """Return W for a filter `kernel`, a function of an array of distances, that is cut off at `support`."""
    ...
