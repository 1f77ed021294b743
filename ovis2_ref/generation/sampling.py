"""Greedy decoding and sampling: one token of each row at a time, until every row has ended."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from ovis2_ref.errors import InputError
from ovis2_ref.generation.continuation import Continuation
from ovis2_ref.generation.scores import Processor, process_scores
from ovis2_ref.generation.settings import GenerationSettings
from ovis2_ref.ops import softmax
from ovis2_ref.runtime.arrays import Array, array_module, to_device, to_host


@runtime_checkable
class Streamer(Protocol):
    """What gets the tokens as they are made (transformers' streamers fit)."""

    def put(self, ids: np.ndarray) -> None:
        """Take the prompts (batch, tokens) first, then the new tokens (batch) of each step."""

    def end(self) -> None:
        """There is no more."""


def draw(probabilities: Float[Array, "rows vocabulary"], uniform: Float[Array, " rows"]) -> Int[Array, " rows"]:
    """Token i where uniform * total falls into [c_(i-1), c_i), with c the cumulated probabilities; -1 where they can't be.

    The inverse of the distribution function: `uniform` from [0, 1) makes token i with probability p_i / total.
    """
    xp = array_module(probabilities)
    cumulated = xp.cumsum(probabilities, axis=-1, dtype=np.float64)
    total = cumulated[:, -1:]
    tokens = (cumulated <= uniform[:, None] * total).sum(axis=-1)
    return xp.where((total[:, 0] > 0) & xp.isfinite(total[:, 0]), tokens, -1)


def sample(
    text: Continuation,
    settings: GenerationSettings,
    processors: list[Processor],
    first: int,
    new_tokens: int,
    generator: np.random.Generator,
    streamer: Streamer | None,
) -> Int[np.ndarray, "rows tokens"]:
    """The text, continued until every row has ended or `new_tokens` are made; rows that ended are filled with the pad token.

    The processors see the tokens from `first` on. Only tokens cross between host and device. Raises `InputError` when the scores
    of a row hold no token that can be chosen.
    """
    eos, pad = settings.eos_tokens(), settings.pad_token()
    finished = np.zeros(len(text.ids), dtype=bool)
    while True:
        scores = process_scores(processors, text.ids[:, first:], text.scores)
        tokens = to_host(choose(scores, generator if settings.do_sample else None))
        if (tokens[~finished] < 0).any():
            raise InputError(impossible(text.made))
        if pad is not None:
            tokens = np.where(finished, pad, tokens)
        finished |= np.isin(tokens, eos)
        text.append(to_device(tokens, array_module(scores)))
        if streamer is not None:
            streamer.put(tokens)
        if finished.all() or text.made == new_tokens:
            return to_host(text.ids)
        text.advance()


def choose(scores: Float[Array, "rows vocabulary"], generator: np.random.Generator | None) -> Int[Array, " rows"]:
    """The token with the highest score, the first of equals; with a generator, one drawn from softmax(scores).

    -1 for a row with NaN, or without any score above -inf.
    """
    xp = array_module(scores)
    if generator is not None:
        with np.errstate(invalid="ignore"):
            return draw(softmax(scores), to_device(generator.random(len(scores)), xp))
    highest = scores.max(axis=-1)
    return xp.where(xp.isnan(highest) | (highest == -np.inf), -1, scores.argmax(axis=-1))


def impossible(made: int) -> str:
    """What to say when no token can be chosen."""
    return (
        f"after {made} new tokens no next token can be chosen: its scores hold NaN, or every token is ruled out; look at the "
        "model's dtype and weights, and at the options that forbid tokens"
    )
