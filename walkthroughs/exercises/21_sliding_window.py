"""Exercise 21 of 34: Causal attention, and a sliding window.

When a model writes, a token sees itself and what came before, never what comes after. With a sliding window it sees only
the last `window` tokens of these, itself among them. Some of the keys may have been seen in earlier calls: the queries are
then the last tokens, and the first of them stands at position keys - queries.

    3 queries, 5 keys    without a window    a window of 2
    (■ is seen)          ■ ■ ■ · ·           · ■ ■ · ·
                         ■ ■ ■ ■ ·           · · ■ ■ ·
                         ■ ■ ■ ■ ■           · · · ■ ■

In the model: causal in walkthroughs/ovis2.py, causal_mask in ovis2_ref/language/masks.py.

Shapes stand in the signature: Float[np.ndarray, "tokens hidden"] is an array of floats with two axes, tokens and
hidden. Axes of the same name have the same length; *batch is any number of axes, also none.

    ovis2-ref exercise check sliding_window
"""

import numpy as np
from jaxtyping import Bool


def sliding_window(queries: int, keys: int, window: int | None) -> Bool[np.ndarray, "queries keys"]:
    """Return True where a query sees a key; a `window` of None sees everything before."""
    ...
