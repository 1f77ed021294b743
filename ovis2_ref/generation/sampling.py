"""Sampling, and greedy decoding with options: one token of each row at a time, until every row has ended."""

import numpy as np
from jaxtyping import Float, Int

from ovis2_ref.errors import InputError
from ovis2_ref.generation.continuation import Continuation
from ovis2_ref.generation.decoding import Decoding
from ovis2_ref.generation.greedy import impossible
from ovis2_ref.generation.randomness import Generator
from ovis2_ref.generation.stopping import stopped
from ovis2_ref.runtime.arrays import Array, array_module, to_device, to_host


def sample(text: Continuation, call: Decoding) -> Int[np.ndarray, "rows tokens"]:
    """Continue the text until every row has ended or `new_tokens` are made, and return it; ended rows get the pad token.

    Without a generator this is greedy decoding with all options of a call. Only tokens are copied between host and device.
    Raises `InputError` when a row has no token that can be chosen.
    """
    eos, pad = call.settings.eos_tokens(), call.settings.pad_token()
    ended = np.zeros(len(text.ids), dtype=bool)
    while True:
        scores = call.processed(text, text.scores)
        tokens = to_host(choose(scores, call.generator))
        if (tokens[~ended] < 0).any():
            raise InputError(impossible(text.made))
        tokens = np.where(ended & (pad is not None), pad or 0, tokens)
        ended |= np.isin(tokens, eos)
        text.append(to_device(tokens, array_module(scores)))
        if call.streamer is not None:
            call.streamer.put(tokens)
        if call.stopping:
            ended |= stopped(call.stopping, text.ids, call.kept["scores"])
        if ended.all() or text.made == call.new_tokens:
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
