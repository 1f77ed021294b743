"""Exercise 29 of 34: Top-p.

Sampling from all tokens sometimes draws a very unlikely one. Top-p keeps the smallest set of likeliest tokens that have a
probability of p or more together, and rules out the others with a score of -infinity (Holtzman et al., 2019).

    probabilities 0.5, 0.3, 0.2 and p = 0.6: the first two stay, for 0.5 alone is less than 0.6

The likeliest token always stays.

In the model: top_p in ovis2_ref/generation/truncation.py.

Shapes stand in the signature: Float[np.ndarray, "tokens hidden"] is an array of floats with two axes, tokens and
hidden. Axes of the same name have the same length; *batch is any number of axes, also none.

    ovis2-ref exercise check top_p
"""

import numpy as np
from jaxtyping import Float


def top_p(scores: Float[np.ndarray, "batch vocabulary"], p: float) -> Float[np.ndarray, "batch vocabulary"]:
    """Return the scores with -infinity for every token outside the smallest set that has the probability `p`.

    The probabilities are the softmax of the scores. No two scores of a row are equal.
    """
    ...
