"""Exercise 28 of 34: Draw a token.

Sampling chooses the next token at random, by its probability. A temperature below 1 sharpens the distribution first, one
above 1 flattens it.

    p = softmax(logits / temperature)

To draw with one uniform number u from [0, 1): lay the probabilities side by side on a line of length 1, and take the token
whose piece holds u. Token i has the piece from p_0 + ... + p_(i-1), which belongs to it, to p_0 + ... + p_i, which doesn't.

In the model: draw in ovis2_ref/generation/randomness.py, temperature in ovis2_ref/generation/truncation.py.

Shapes stand in the signature: Float[np.ndarray, "tokens hidden"] is an array of floats with two axes, tokens and
hidden. Axes of the same name have the same length; *batch is any number of axes, also none.

    ovis2-ref exercise check draw_token
"""

import numpy as np
from jaxtyping import Float, Int


def draw_token(
    logits: Float[np.ndarray, "batch vocabulary"], temperature: float, uniform: Float[np.ndarray, " batch"]
) -> Int[np.ndarray, " batch"]:
    """Return the token that each row's number in `uniform` draws from softmax(logits / temperature)."""
    ...
