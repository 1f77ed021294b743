"""Exercise 25 of 34: Grouped-query attention.

While a model writes, the keys and values of all earlier tokens are kept, so that none is computed twice (the KV cache). To
keep less, several query heads share the keys and values of one head: with 4 query heads and 2 key heads, queries 0 and 1
use key head 0, queries 2 and 3 key head 1 (Ainslie et al., 2023).

    softmax(q k^T / sqrt(head_dim) + mask) v,    then the heads side by side

In the model: attend in walkthroughs/ovis2.py, attend in ovis2_ref/ops.py, attention in ovis2_ref/language/attention.py.

Shapes stand in the signature: Float[np.ndarray, "tokens hidden"] is an array of floats with two axes, tokens and
hidden. Axes of the same name have the same length; *batch is any number of axes, also none.

    ovis2-ref exercise check grouped_query_attention
"""

import numpy as np
from jaxtyping import Float


def grouped_query_attention(
    q: Float[np.ndarray, "batch heads tokens head_dim"],
    k: Float[np.ndarray, "batch kv_heads keys head_dim"],
    v: Float[np.ndarray, "batch kv_heads keys head_dim"],
    mask: Float[np.ndarray, "tokens keys"],
) -> Float[np.ndarray, "batch tokens heads*head_dim"]:
    """Return the result of all heads, side by side for every token; `mask` is 0 where a key is seen, very low elsewhere."""
    ...
