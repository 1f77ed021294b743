"""Exercise 5 of 33: LayerNorm, with a bias.

The visual tokenizer's head ends in one: the logits over the visual vocabulary are standardised before the softmax, each
token's on its own (Ba et al., 2016).

    y = w (x - mean) / sqrt(var + eps) + b,    var = mean((x - mean)^2)

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
