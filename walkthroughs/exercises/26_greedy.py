"""Exercise 26 of 34: The greedy loop.

A language model gives the logits of the next token for a text. Greedy search takes the highest, puts that token behind the
text, and asks again, until the end token comes or enough tokens are made. The end token belongs to the answer.

    prompt [1, 2]  ->  model([1, 2]) has its highest logit at 5  ->  model([1, 2, 5]) ...

In the model: greedy in walkthroughs/ovis2.py, greedy in ovis2_ref/generation/greedy.py.

    ovis2-ref exercise check greedy
"""

from collections.abc import Callable

import numpy as np


def greedy(model: Callable[[list[int]], np.ndarray], prompt: list[int], end: int, new_tokens: int) -> list[int]:
    """Return the tokens that follow `prompt`: up to and with `end`, and at most `new_tokens`; of equal logits the first wins."""
    ...
