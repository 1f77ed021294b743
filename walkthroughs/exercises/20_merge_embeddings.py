"""Exercise 20 of 34: Put the picture into the text.

The prompt's token ids choose rows of the text embedding table. Where an id is that of <IMG_ATOM>, a visual embedding goes
instead, all of them in reading order; where it is one of the indicators (<IMG_START>, <IMG_GRID>, ...), that indicator's
own row goes.

The result is all that the language model ever sees of a picture.

In the model: merge_embeddings in walkthroughs/ovis2.py, merge_embeddings in ovis2_ref/merge.py.

Shapes stand in the signature: Float[np.ndarray, "tokens hidden"] is an array of floats with two axes, tokens and
hidden. Axes of the same name have the same length; *batch is any number of axes, also none.

    ovis2-ref exercise check merge_embeddings
"""

import numpy as np
from jaxtyping import Float, Int


def merge_embeddings(
    ids: Int[np.ndarray, "batch tokens"],
    text: Float[np.ndarray, "batch tokens hidden"],
    visual: Float[np.ndarray, "tiles tokens_per_tile hidden"],
    indicators: Float[np.ndarray, "kinds hidden"],
    atom_id: int,
    indicator_ids: list[int],
) -> Float[np.ndarray, "batch tokens hidden"]:
    """Return `text` with the visual embeddings at the atoms, tile by tile, and row i of `indicators` at `indicator_ids[i]`.

    There are as many atoms in all rows of `ids` together as visual embeddings.
    """
    ...
