"""Greedy decoding: the token after each text is the one with the highest logit,

    y_t = argmax_v logit_v(y_1 ... y_(t-1)),

until every text has ended.
"""

import numpy as np
from jaxtyping import Int

from ovis2_ref.errors import InputError
from ovis2_ref.generation.continuation import Continuation
from ovis2_ref.runtime.arrays import array_module, to_device, to_host


def greedy(text: Continuation, new_tokens: int, eos: list[int], pad: int | None) -> Int[np.ndarray, "rows tokens"]:
    """Continue each row of `text` until all have made a token of `eos`, or `new_tokens` are made.

    Fills a row that has ended with `pad`. Raises `InputError` where all logits are -inf, or one is NaN.
    """
    xp = array_module(text.scores)
    ended = np.zeros(len(text.ids), dtype=bool)
    while True:
        possible = text.scores.max(axis=-1) > -np.inf
        tokens = to_host(xp.where(possible, text.scores.argmax(axis=-1), -1))
        if (tokens[~ended] < 0).any():
            raise InputError(impossible(text.made))
        tokens = np.where(ended & (pad is not None), pad or 0, tokens)
        ended |= np.isin(tokens, eos)
        text.append(to_device(tokens, xp))
        if ended.all() or text.made == new_tokens:
            return to_host(text.ids)
        text.advance()


def impossible(made: int) -> str:
    """Return the error for the case that no token can be chosen."""
    return (
        f"after {made} new tokens no next token can be chosen: its scores hold NaN, or every token is ruled out; look at the "
        "model's dtype and weights, and at the options that forbid tokens"
    )
