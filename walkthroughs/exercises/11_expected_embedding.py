"""Exercise 11 of 34: The expected embedding.

A word of text is one row of an embedding table. A visual token is a distribution over visual words, so its embedding is the
row that is expected under it: the mean of the table's rows, weighted by their probabilities (Lu et al., 2024, section 3).

    e = sum_w p_w table_w

The table has more rows than there are words: the last rows belong to the indicators, tokens that mark a picture's
beginning, its rows and so on in the prompt. Their probability is always 0.

In the model: merge_embeddings in walkthroughs/ovis2.py, embed_visual_tokens in ovis2_ref/vision/visual_tokenizer.py.

Shapes stand in the signature: Float[np.ndarray, "tokens hidden"] is an array of floats with two axes, tokens and
hidden. Axes of the same name have the same length; *batch is any number of axes, also none.

    ovis2-ref exercise check expected_embedding
"""

import numpy as np
from jaxtyping import Float


def expected_embedding(
    tokens: Float[np.ndarray, "tiles tokens words"], table: Float[np.ndarray, "vocabulary hidden"]
) -> Float[np.ndarray, "tiles tokens hidden"]:
    """Return the expected row of `table` for every token; its first rows are those of the words."""
    ...
