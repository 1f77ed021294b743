"""Exercise 5 of 34: LayerNorm, with a bias.

The visual tokenizer's head ends in one: the logits over the visual vocabulary are standardised before the softmax, each
token's on its own (Ba et al., 2016).

    y = w (x - mean) / sqrt(var + eps) + b,    var = mean((x - mean)^2)

In the model: layer_norm in walkthroughs/ovis2.py, layer_norm in ovis2_ref/ops.py.

Shapes stand in the signature: Float[np.ndarray, "tokens hidden"] is an array of floats with two axes, tokens and
hidden. Axes of the same name have the same length; *batch is any number of axes, also none.

    ovis2-ref exercise check layer_norm
"""

import numpy as np
from jaxtyping import Float


def layer_norm(
    x: Float[np.ndarray, "*batch hidden"],
    weight: Float[np.ndarray, " hidden"],
    bias: Float[np.ndarray, " hidden"],
    eps: float,
) -> Float[np.ndarray, "*batch hidden"]:
    """Return w (x - mean) / sqrt(var + eps) + b over the last axis, in the type of `x`."""
    ...
