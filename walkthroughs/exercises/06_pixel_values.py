"""Exercise 6 of 34: From levels to pixel values.

A picture's levels are bytes from 0 to 255. The model wants small numbers around 0: rescale by a factor (1 / 255), then
subtract each channel's mean and divide by its standard deviation.

    value = (factor level - mean_c) / std_c

White in Ovis2's first channel: (1 - 0.481) / 0.269 = 1.93. Its means and deviations are those of CLIP.

In the model: pillow_values in walkthroughs/ovis2.py, pillow_values in ovis2_ref/image/values.py.

Shapes stand in the signature: Float[np.ndarray, "tokens hidden"] is an array of floats with two axes, tokens and
hidden. Axes of the same name have the same length; *batch is any number of axes, also none.

    ovis2-ref exercise check pixel_values
"""

import numpy as np
from jaxtyping import Float, UInt8


def pixel_values(
    levels: UInt8[np.ndarray, "channels height width"],
    factor: float,
    mean: Float[np.ndarray, " channels"],
    std: Float[np.ndarray, " channels"],
) -> Float[np.ndarray, "channels height width"]:
    """Return the rescaled and normalised levels as float32."""
    ...
