"""Sampling, and greedy decoding with options: one token of each row at a time, until every row has ended."""

import numpy as np
from jaxtyping import Int

from ovis2_ref.generation.continuation import Continuation
from ovis2_ref.generation.decoding import Decoding
from ovis2_ref.generation.greedy import next_tokens
from ovis2_ref.generation.stopping import stopped
from ovis2_ref.runtime.arrays import to_host


def sample(text: Continuation, call: Decoding) -> Int[np.ndarray, "rows tokens"]:
    """Continue the text until every row has ended or `new_tokens` are made, and return it; ended rows get the pad token.

    Without a generator this is greedy decoding with all options of a call. Only tokens are copied between host and device.
    Raises `InputError` when a row has no token that can be chosen.
    """
    eos, pad = call.settings.eos_tokens(), call.settings.pad_token()
    ended = np.zeros(len(text.ids), dtype=bool)
    while True:
        scores = call.processed(text, text.scores)
        tokens = next_tokens(text, scores, ended, pad, call.generator)
        ended |= np.isin(tokens, eos)
        text.append(tokens)
        if call.streamer is not None:
            call.streamer.put(tokens)
        if call.stopping:
            ended |= stopped(call.stopping, text.ids, call.kept["scores"])
        if ended.all() or text.made == call.new_tokens:
            return to_host(text.ids)
        text.advance()
