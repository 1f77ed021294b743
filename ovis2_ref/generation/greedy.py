"""Greedy decoding: the token after each text is the one with the highest logit,

    y_t = argmax_v logit_v(y_1 ... y_(t-1)),

until every text has ended.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from ovis2_ref.errors import InputError
from ovis2_ref.generation.continuation import Continuation
from ovis2_ref.generation.randomness import Generator
from ovis2_ref.runtime.arrays import Array, array_module, to_host


def greedy(text: Continuation, new_tokens: int, eos: list[int], pad: int | None) -> Int[np.ndarray, "rows tokens"]:
    """Continue each row of `text` until all have made a token of `eos`, or `new_tokens` are made.

    Fills a row that has ended with `pad`. Raises `InputError` where all logits are -inf, or one is NaN.
    """
    ended = np.zeros(len(text.ids), dtype=bool)
    while True:
        tokens = next_tokens(text, text.scores, ended, pad)
        ended |= np.isin(tokens, eos)
        text.append(tokens)
        if ended.all() or text.made == new_tokens:
            return to_host(text.ids)
        text.advance()


def next_tokens(
    text: Continuation,
    scores: Float[Array, "rows vocabulary"],
    ended: Bool[np.ndarray, " rows"],
    pad: int | None,
    generator: Generator | None = None,
) -> Int[np.ndarray, " rows"]:
    """Return the token that each row of `text` continues with, `pad` for those that have ended.

    Raises `InputError` where a row has no token that can be chosen.
    """
    tokens = to_host(choose(scores, generator))
    if (tokens[~ended] < 0).any():
        raise InputError(impossible(text.made))
    return np.where(ended & (pad is not None), pad or 0, tokens)


def choose(scores: Float[Array, "rows vocabulary"], generator: Generator | None = None) -> Int[Array, " rows"]:
    """Return the token with the highest score, the first of equals; with a generator, one drawn from softmax(scores).

    -1 for a row with NaN, or without any score above -inf.
    """
    if generator is not None:
        with np.errstate(invalid="ignore"):
            return generator.choose(scores)
    return array_module(scores).where(scores.max(axis=-1) > -np.inf, scores.argmax(axis=-1), -1)


def impossible(made: int) -> str:
    """Return the error for the case that no token can be chosen."""
    return (
        f"after {made} new tokens no next token can be chosen: its scores hold NaN, or every token is ruled out; look at the "
        "model's dtype and weights, and at the options that forbid tokens"
    )
