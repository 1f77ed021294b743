"""Exercise 34 of 34: Unpack GPTQ weights.

The released Ovis2 models of 4 bits hold no weights, but whole numbers q, eight of them in a word of 32 bits, with a scale s and a
zero point z for each output and each group g of inputs (Frantar et al., 2023). A matrix that is needed is computed from them:

    W[o, i] = s[g, o] (q[i, o] - z[g, o]),  g = g_idx[i]

A word holds f = 32 / bits numbers, the first in its lowest bits. The words of q lie along the inputs: word (r, o) holds the
inputs r f to r f + f - 1 of output o. The words of z lie along the outputs: word (g, p) holds the outputs p f to p f + f - 1 of
group g.

In the model: dequantize in ovis2_ref/checkpoint/gptq.py.

Shapes stand in the signature: Float[np.ndarray, "tokens hidden"] is an array of floats with two axes, tokens and
hidden. Axes of the same name have the same length; *batch is any number of axes, also none.

    ovis2-ref exercise check dequantize
"""

import numpy as np
from jaxtyping import Float, Int


def dequantize(
    qweight: Int[np.ndarray, "in_words out"],
    qzeros: Int[np.ndarray, "groups out_words"],
    scales: Float[np.ndarray, "groups out"],
    g_idx: Int[np.ndarray, " in"],
    bits: int,
) -> Float[np.ndarray, "out in"]:
    """Return W[o, i] = s[g, o] (q[i, o] - z[g, o]) with g = g_idx[i], where numbers of `bits` bits lie in words of 32."""
    ...
