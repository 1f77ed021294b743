"""Exercise 32 of 34: Rounding to bfloat16.

A bfloat16 is the upper half of a float32: its sign, all 8 bits of the exponent, and 7 of the 23 bits of the fraction.
Converting rounds to the nearest such number, and where two are as near, to the one whose last bit is 0 ("half to even").

    1 + 1/256 (bits 0x3F808000) lies half way between 0x3F80 (1) and 0x3F81 (1 + 1/128): it becomes 1
    1 + 3/256 (bits 0x3F818000) lies half way between 0x3F81 and 0x3F82 (1 + 1/64): it becomes 1 + 1/64

Bits can be looked at with x.view(np.uint32), and a number made of them with bits.view(np.float32).

In the model: widened in ovis2_ref/runtime/arrays.py.

Shapes stand in the signature: Float[np.ndarray, "tokens hidden"] is an array of floats with two axes, tokens and
hidden. Axes of the same name have the same length; *batch is any number of axes, also none.

    ovis2-ref exercise check round_to_bfloat16
"""

import numpy as np
from jaxtyping import Float


def round_to_bfloat16(x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Return every number of `x` (float32) rounded to a bfloat16, as float32; NaN stays NaN.

    Numbers above the largest bfloat16 become infinity where that is nearer.
    """
    ...
