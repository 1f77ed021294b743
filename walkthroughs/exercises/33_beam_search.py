"""Exercise 33 of 34: Beam search.

Greedy search can't take back a token. Beam search follows several texts, the beams, at once. The score of a text is the sum
of its tokens' log-probabilities. In each step

1. every token after every beam is a candidate; the 2 * `beams` with the highest scores are looked at, in this order (of equal
   scores, the candidate of the earlier beam comes first, then the lower token);
2. of the first `beams` of them, those that end with the end token are finished;
3. of all of them, the first `beams` that don't end go on as the beams.

After the last step the beams are finished as well. The answer is the finished text with the highest score / length, where
length counts the new tokens, the end token among them; of equals, the one that was finished first.

In the model: beam_search in ovis2_ref/generation/beam.py.

    ovis2-ref exercise check beam_search
"""

from collections.abc import Callable

import numpy as np


def beam_search(
    model: Callable[[list[int]], np.ndarray], prompt: list[int], end: int, new_tokens: int, beams: int
) -> list[int]:
    """Return the new tokens of the best text; `model` gives the log-probability of every token after a text.

    The vocabulary has at least 2 `beams` tokens.
    """
    ...
