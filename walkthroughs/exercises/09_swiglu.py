"""Exercise 9 of 34: SwiGLU.

The feed-forward part of every block: two products go up to a wider space, one of them decides through SiLU how much of the
other goes through, and a third product comes down again (Shazeer, 2020, eq. 6).

    y = W_down (silu(W_gate x) * W_up x),    silu(z) = z / (1 + exp(-z))

A weight is stored as (outputs, inputs), torch's layout, so W x for rows of x is x @ W.T.

In the model: feed_forward in walkthroughs/ovis2.py, feed_forward in ovis2_ref/ops.py, silu in ovis2_ref/activations.py.

Shapes stand in the signature: Float[np.ndarray, "tokens hidden"] is an array of floats with two axes, tokens and
hidden. Axes of the same name have the same length; *batch is any number of axes, also none.

    ovis2-ref exercise check swiglu
"""

import numpy as np
from jaxtyping import Float


def swiglu(
    x: Float[np.ndarray, "*batch hidden"],
    gate_proj: Float[np.ndarray, "inner hidden"],
    up_proj: Float[np.ndarray, "inner hidden"],
    down_proj: Float[np.ndarray, "hidden inner"],
) -> Float[np.ndarray, "*batch hidden"]:
    """Return W_down (silu(W_gate x) * W_up x) for every row of `x`."""
    ...
