"""Exercise 12 of 34: Scaled dot-product attention.

A query is compared with every key; the scores become weights by a softmax over the keys, and the result is the mean of the
values with these weights (Vaswani et al., 2017, eq. 1).

    softmax(q k^T / sqrt(head_dim)) v

Products of longer vectors spread more; the division by sqrt(head_dim) keeps the softmax from saturating.

In the model: attend in walkthroughs/ovis2.py, attend in ovis2_ref/ops.py, attention in ovis2_ref/vision/encoder.py.

Shapes stand in the signature: Float[np.ndarray, "tokens hidden"] is an array of floats with two axes, tokens and
hidden. Axes of the same name have the same length; *batch is any number of axes, also none.

    ovis2-ref exercise check scaled_attention
"""

import numpy as np
from jaxtyping import Float


def scaled_attention(
    q: Float[np.ndarray, "*heads queries head_dim"],
    k: Float[np.ndarray, "*heads keys head_dim"],
    v: Float[np.ndarray, "*heads keys value_dim"],
) -> Float[np.ndarray, "*heads queries value_dim"]:
    """Return softmax(q k^T / sqrt(head_dim)) v over the last two axes, for all axes before them; nothing may overflow."""
    ...
