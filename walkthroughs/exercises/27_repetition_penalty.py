"""Exercise 27 of 34: The repetition penalty.

Small models like to repeat themselves. A penalty above 1 makes every token that has occurred in the text so far less
likely: its score is divided by the penalty, or, where it is negative, multiplied (Keskar et al., 2019, section 4.1).

    score / penalty  for score > 0,    score penalty  for score < 0

In the model: repetition_penalty in ovis2_ref/generation/processors.py.

Shapes stand in the signature: Float[np.ndarray, "tokens hidden"] is an array of floats with two axes, tokens and
hidden. Axes of the same name have the same length; *batch is any number of axes, also none.

    ovis2-ref exercise check repetition_penalty
"""

import numpy as np
from jaxtyping import Float, Int


def repetition_penalty(
    ids: Int[np.ndarray, "batch tokens"], scores: Float[np.ndarray, "batch vocabulary"], penalty: float
) -> Float[np.ndarray, "batch vocabulary"]:
    """Return the scores of the next token, lowered for every token that occurs in its row of `ids`, however often."""
    ...
