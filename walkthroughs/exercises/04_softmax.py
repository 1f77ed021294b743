"""Exercise 4 of 34: Softmax.

It makes a distribution of any numbers: all positive, with a sum of 1, the larger the likelier. Attention, the visual tokens
and the choice of the next token use it.

    p_i = exp(x_i) / sum_j exp(x_j)

exp(1000) overflows. A number that is subtracted from all x_i of a row divides out again, so subtract the row's maximum: the
largest power is then exp(0) = 1.

In the model: softmax in walkthroughs/ovis2.py, softmax in ovis2_ref/ops.py.

Shapes stand in the signature: Float[np.ndarray, "tokens hidden"] is an array of floats with two axes, tokens and
hidden. Axes of the same name have the same length; *batch is any number of axes, also none.

    ovis2-ref exercise check softmax
"""

import numpy as np
from jaxtyping import Float


def softmax(x: Float[np.ndarray, "*batch n"]) -> Float[np.ndarray, "*batch n"]:
    """Return exp(x_i) / sum_j exp(x_j) over the last axis, in the type of `x`, with nothing that overflows.

    Some x_i may be -infinity (masked); never all of a row.
    """
    ...
