"""What the authors' program does otherwise than transformers' (`ovis2_ref/convention.py`): no mistakes, but found like them."""

import numpy as np

from ovis2_ref.golden.causes import Cause
from ovis2_ref.golden.formulas_image import grid_of

SOURCE = "https://github.com/AIDC-AI/Ovis"


CONVENTIONS: tuple[Cause, ...] = (
    Cause(
        "no norm after the vision transformer",
        ("*.transformer.rms_norm.output",),
        lambda m, w, x: x,
        "the features: the authors take the last block's output, before post_trunk_norm; transformers applies the norm",
        SOURCE,
    ),
    Cause(
        "grid transposed",
        ("image.grid",),
        lambda m, w, picture: np.flip(grid_of(m, w, picture)),
        "the covering search returns (rows, columns); transformers unpacks it as (columns, rows)",
        SOURCE,
    ),
)
