"""Exercise 30 of 34: The KV cache.

A new token's query looks at the keys of all tokens before it. They don't change, so they are kept: an array with room for
more tokens than there are, and a length. New keys go in behind the old ones; where the room isn't enough, it is doubled
until it is.

    length 2, capacity 4, one new token:  [a b . .]  ->  [a b c .]
    length 4, capacity 4, one new token:  [a b c d]  ->  [a b c d e . . .]

In the model: update_cache in walkthroughs/ovis2.py, KVCache.update in ovis2_ref/language/cache.py.

Shapes stand in the signature: Float[np.ndarray, "tokens hidden"] is an array of floats with two axes, tokens and
hidden. Axes of the same name have the same length; *batch is any number of axes, also none.

    ovis2-ref exercise check update_cache
"""

import numpy as np
from jaxtyping import Float


def update_cache(
    store: Float[np.ndarray, "batch kv_heads capacity head_dim"],
    length: int,
    keys: Float[np.ndarray, "batch kv_heads new head_dim"],
) -> tuple[Float[np.ndarray, "batch kv_heads new_capacity head_dim"], Float[np.ndarray, "batch kv_heads all head_dim"]]:
    """Return a new store with `keys` behind the first `length` tokens of `store`, and the keys of all tokens.

    The capacity is doubled as often as needed and no more; places that aren't taken hold 0. `store` itself stays as it is.
    """
    ...
