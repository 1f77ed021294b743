"""Sampling, and greedy decoding with options: one token of each row at a time, until every row has ended."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from ovis2_ref.errors import InputError
from ovis2_ref.generation.continuation import Continuation
from ovis2_ref.generation.greedy import impossible
from ovis2_ref.generation.randomness import Generator
from ovis2_ref.generation.record import Record
from ovis2_ref.generation.scores import Processor, process_scores
from ovis2_ref.generation.settings import GenerationSettings
from ovis2_ref.generation.stopping import Stopping
from ovis2_ref.runtime.arrays import Array, array_module, to_device, to_host


@runtime_checkable
class Streamer(Protocol):
    """Receives the tokens as they are made. transformers' streamers have this form."""

    def put(self, ids: np.ndarray) -> None:
        """Take the prompts (batch, tokens) first, then the new tokens (batch) of each step."""

    def end(self) -> None:
        """Take note of the end."""


def sample(
    text: Continuation,
    settings: GenerationSettings,
    processors: list[Processor],
    first: int,
    new_tokens: int,
    generator: Generator | None,
    streamer: Streamer | None,
    stopping: Stopping,
    record: Record,
) -> Int[np.ndarray, "rows tokens"]:
    """Continue the text until every row has ended or `new_tokens` are made, and return it; ended rows get the pad token.

    Without a generator this is greedy decoding with all options of a call. The processors see the tokens from
    `first` on. Only tokens are copied between host and device. Raises `InputError` when a row has no token that can be chosen.
    """
    eos, pad = settings.eos_tokens(), settings.pad_token()
    finished = np.zeros(len(text.ids), dtype=bool)
    while True:
        scores = process_scores(processors, text.ids[:, first:], text.scores)
        record.add(text, scores)
        tokens = to_host(choose(scores, generator))
        if (tokens[~finished] < 0).any():
            raise InputError(impossible(text.made))
        if pad is not None:
            tokens = np.where(finished, pad, tokens)
        finished |= np.isin(tokens, eos)
        text.append(to_device(tokens, array_module(scores)))
        if streamer is not None:
            streamer.put(tokens)
        if stopping:
            finished |= stopping(text.ids, record["scores"])
        if finished.all() or text.made == new_tokens:
            return to_host(text.ids)
        text.advance()


def choose(scores: Float[Array, "rows vocabulary"], generator: Generator | None) -> Int[Array, " rows"]:
    """Return the token with the highest score, the first of equals; with a generator, one drawn from softmax(scores).

    -1 for a row with NaN, or without any score above -inf.
    """
    xp = array_module(scores)
    if generator is not None:
        with np.errstate(invalid="ignore"):
            return generator.choose(scores)
    highest = scores.max(axis=-1)
    return xp.where(xp.isnan(highest) | (highest == -np.inf), -1, scores.argmax(axis=-1))
