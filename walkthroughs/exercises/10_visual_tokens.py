"""Exercise 10 of 34: Visual tokens.

Where text has one word of a vocabulary, Ovis has a distribution over a visual vocabulary: a linear head gives every row of
features (of 2 x 2 neighbouring patches) a logit for each visual word, LayerNorm standardises the logits, and a softmax
makes a distribution of them (Lu et al., 2024, section 3).

    softmax(LayerNorm(W x)),    LayerNorm(z) = w (z - mean) / sqrt(var + 1e-5) + b

In the model: visual_tokens in walkthroughs/ovis2.py, visual_tokens in ovis2_ref/vision/visual_tokenizer.py.

Shapes stand in the signature: Float[np.ndarray, "tokens hidden"] is an array of floats with two axes, tokens and
hidden. Axes of the same name have the same length; *batch is any number of axes, also none.

    ovis2-ref exercise check visual_tokens
"""

import numpy as np
from jaxtyping import Float


def visual_tokens(
    merged: Float[np.ndarray, "tiles tokens features"],
    head: Float[np.ndarray, "words features"],
    norm_weight: Float[np.ndarray, " words"],
    norm_bias: Float[np.ndarray, " words"],
) -> Float[np.ndarray, "tiles tokens words"]:
    """Return the distribution of every visual token over the visual words."""
    ...
