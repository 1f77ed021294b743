"""Exercise 22 of 34: The mask of a batch with padding.

Prompts of different lengths are padded on the left to share an array. The mask is added to the attention scores before the
softmax: 0 where a query sees a key, and the lowest float32 number where it doesn't, so that its weight becomes 0. A query
sees the keys up to itself that aren't padding. The queries are the last tokens: the first of them stands at position keys -
queries.

Why not -infinity? A query at padding sees nothing at all. A row of equal finite numbers gives equal weights there; a row of
-infinity gives NaN.

In the model: causal in walkthroughs/ovis2.py, causal_mask in ovis2_ref/language/masks.py.

Shapes stand in the signature: Float[np.ndarray, "tokens hidden"] is an array of floats with two axes, tokens and
hidden. Axes of the same name have the same length; *batch is any number of axes, also none.

    ovis2-ref exercise check causal_mask
"""

import numpy as np
from jaxtyping import Float, Int


def causal_mask(attention_mask: Int[np.ndarray, "batch keys"], queries: int) -> Float[np.ndarray, "batch queries keys"]:
    """Return the numbers to add to the scores, as float32; `attention_mask` is 0 at padding and 1 elsewhere."""
    ...
