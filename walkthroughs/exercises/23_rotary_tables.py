"""Exercise 23 of 34: Rotary tables.

Rotary embedding tells a token's position by turning its queries and keys, pair of numbers by pair, by angles that grow with
the position; each pair turns at its own speed (Su et al., 2021, section 3.2.2).

    angle[p, i] = p theta^(-2 i / head_dim)    for position p and pair i = 0 ... head_dim / 2 - 1

Pair 0 turns by 1 radian a token, the last by little more than 1 / theta. cos and sin of the angles are the same in all
layers and heads, so they are computed once.

In the model: rotary_tables in walkthroughs/ovis2.py, rotary_tables in ovis2_ref/language/rope.py.

Shapes stand in the signature: Float[np.ndarray, "tokens hidden"] is an array of floats with two axes, tokens and
hidden. Axes of the same name have the same length; *batch is any number of axes, also none.

    ovis2-ref exercise check rotary_tables
"""

import numpy as np
from jaxtyping import Float, Int


def rotary_tables(
    positions: Int[np.ndarray, "batch tokens"], head_dim: int, theta: float
) -> tuple[Float[np.ndarray, "batch tokens pairs"], Float[np.ndarray, "batch tokens pairs"]]:
    """Return cos and sin of the angle of every position and pair, as float32."""
    ...
