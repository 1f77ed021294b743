"""Exercise 3 of 34: RMSNorm.

Every block of the vision transformer (ViT) and every layer of the language model begins with it: the features of a token
are divided by their root mean square, and each is multiplied by a learned weight (Zhang and Sennrich, 2019, eq. 4).

    y = w x / sqrt(mean(x^2) + eps)

The mean is taken over the last axis, for every token on its own. No mean is subtracted, unlike in LayerNorm.

In the model: rms_norm in walkthroughs/ovis2.py, rms_norm in ovis2_ref/ops.py.

Shapes stand in the signature: Float[np.ndarray, "tokens hidden"] is an array of floats with two axes, tokens and
hidden. Axes of the same name have the same length; *batch is any number of axes, also none.

    ovis2-ref exercise check rms_norm
"""

import numpy as np
from jaxtyping import Float


def rms_norm(
    x: Float[np.ndarray, "*batch hidden"], weight: Float[np.ndarray, " hidden"], eps: float
) -> Float[np.ndarray, "*batch hidden"]:
    """Return w x / sqrt(mean(x^2) + eps) over the last axis, in the type of `x`."""
    ...
