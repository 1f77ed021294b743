"""Exercise 16 of 34: Split into heads.

Attention works in several heads at once: each looks at its own part of the features. The features of a token are the heads'
side by side, so head h has the numbers h d to (h + 1) d - 1, with d = hidden / heads.

    (batch, tokens, hidden)  ->  (batch, heads, tokens, d)

With heads before tokens, one matrix product over the last two axes serves all of them.

In the model: attention in walkthroughs/ovis2.py, split_heads in ovis2_ref/ops.py.

Shapes stand in the signature: Float[np.ndarray, "tokens hidden"] is an array of floats with two axes, tokens and
hidden. Axes of the same name have the same length; *batch is any number of axes, also none.

    ovis2-ref exercise check split_heads
"""

import numpy as np
from jaxtyping import Float


def split_heads(
    x: Float[np.ndarray, "batch tokens hidden"], heads: int
) -> Float[np.ndarray, "batch heads tokens head_dim"]:
    """Return the features of every head: x[b, t, h d + i] comes to [b, h, t, i]."""
    ...
