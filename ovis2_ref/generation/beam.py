"""Beam search: continue the best of all continuations of a prompt's beams, and keep the best of those that end.

The score of a text is the sum of its tokens' log-probabilities; an ended text's is divided by length^length_penalty. The
bookkeeping is that of transformers' `_beam_search` (4.50 to 5.24), where a score of -1e9 means "not to be chosen".
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from ovis2_ref.errors import InputError
from ovis2_ref.generation.continuation import Continuation
from ovis2_ref.generation.decoding import Decoding
from ovis2_ref.generation.greedy import impossible
from ovis2_ref.generation.processors import log_softmax
from ovis2_ref.generation.randomness import Generator
from ovis2_ref.generation.settings import GenerationSettings
from ovis2_ref.generation.stopping import stopped
from ovis2_ref.generation.truncation import best
from ovis2_ref.runtime.arrays import Array, array_module, to_device, to_host

NEVER = -1e9


@dataclass(frozen=True)
class Candidates:
    """The best continuations of each prompt's beams by one token, best first."""

    scores: Float[Array, "prompts candidates"]
    beams: Int[Array, "prompts candidates"]
    """The beam that each continues."""
    tokens: Int[Array, "prompts candidates"]
    end: Bool[Array, "prompts candidates"]
    """True for an end token, and for all at the greatest length."""


@dataclass(frozen=True)
class Ended:
    """The best texts that have ended so far, best first; places not yet taken have the score -1e9."""

    ids: Int[Array, "prompts beams tokens"]
    scores: Float[Array, "prompts beams"]
    lengths: Int[Array, "prompts beams"]
    """New tokens."""
    taken: Bool[Array, "prompts beams"]
    origins: Int[Array, "prompts beams new_tokens"]
    """The row that each new token was made from, -1 after the end."""


def beam_search(text: Continuation, call: Decoding) -> tuple[Int[np.ndarray, "rows tokens"], dict[str, Array]]:
    """Return the `num_return_sequences` best texts for each prompt, short ones filled with the pad token; with their scores
    and origins.

    `text` holds `num_beams` rows for each prompt. With a generator the continuations are drawn. Raises `InputError` when none
    can be chosen.
    """
    settings, new_tokens, xp = call.settings, call.new_tokens, array_module(text.scores)
    beams, eos = settings.num_beams, xp.asarray(settings.eos_tokens(), dtype=np.int64)
    prompts, start = len(text.ids) // beams, text.ids.shape[1]
    kept = max(2, 1 + len(eos)) * beams
    running = xp.full((prompts, beams), NEVER, dtype=text.scores.dtype)
    running[:, 0] = 0  # all beams begin alike, so only the first is continued
    ended = Ended(
        ids=xp.full((prompts, beams, start + new_tokens), _filler(settings), dtype=np.int64),
        scores=xp.full_like(running, NEVER),
        lengths=xp.zeros((prompts, beams), dtype=np.int64),
        taken=xp.zeros((prompts, beams), dtype=bool),
        origins=xp.full((prompts, beams, new_tokens), -1, dtype=np.int64),
    )
    origins = ended.origins.reshape(len(text.ids), new_tokens)
    improvable = xp.ones((prompts, 1), dtype=bool)
    while True:
        scores = call.processed(text, log_softmax(text.scores))
        found = continuations(running, scores, kept, eos, text.made + 1 == new_tokens, call.generator)
        possible = xp.isfinite(found.scores[:, 0]).all()
        candidates = extended(text.ids, found, found.tokens)
        if call.stopping:
            ends = stopped(call.stopping, candidates.reshape(prompts * kept, -1), call.kept["scores"])
            found = replace(found, end=found.end | to_device(ends.reshape(prompts, kept), xp))
        sources = extended(origins[:, : text.made], found, found.beams + beams * xp.arange(prompts)[:, None])
        ended = update_ended(ended, found, candidates, sources, improvable, text.made + 1, settings)
        running, rows = go_on(found, text, beams)
        origins = origins[rows]
        origins[:, text.made - 1] = rows
        improvable = improvable & can_improve(running, ended, text.made, new_tokens, settings)
        open_ = improvable.any() & ~found.end.all()
        if settings.early_stopping is True:
            open_ &= ~ended.taken.all()
        state = int(xp.where(possible, open_, -1))
        if state < 0:
            raise InputError(impossible(text.made - 1))
        if state == 0:
            break
        text.advance()
    returned = settings.num_return_sequences
    longest = int(ended.lengths[:, :returned].max())
    ids, indices, scores = (
        x[:, :returned].reshape(prompts * returned, -1) for x in (ended.ids, ended.origins, ended.scores)
    )
    found_beams = {"sequences_scores": scores[:, 0], "beam_indices": indices[:, :longest]}
    return to_host(ids[:, : start + longest]), found_beams if call.kept["scores"] is not None else {}


def extended(
    rows: Int[Array, "rows tokens"], found: Candidates, last: Int[Array, "prompts candidates"]
) -> Int[Array, "prompts candidates tokens_and_last"]:
    """Return for each candidate its beam's row of `rows`, followed by `last`."""
    xp = array_module(last)
    so_far = rows.reshape(len(last), len(rows) // len(last), rows.shape[1])
    return xp.concatenate([xp.take_along_axis(so_far, found.beams[:, :, None], axis=1), last[:, :, None]], axis=2)


def continuations(
    running: Float[Array, "prompts beams"],
    scores: Float[Array, "rows vocabulary"],
    kept: int,
    eos: Int[Array, " eos"],
    last: bool,
    generator: Generator | None,
) -> Candidates:
    """Return the `kept` best tokens after all beams; with a generator, draw them by softmax(score) without replacement.

    With (number of end tokens + 1) candidates for each beam, at least as many candidates as beams don't end.
    """
    xp = array_module(scores)
    prompts, beams = running.shape
    vocabulary = scores.shape[1]
    total = (scores.reshape(prompts, beams, vocabulary) + running[:, :, None]).reshape(prompts, -1)
    chosen = best(total, kept) if generator is None else generator.choose_several(total, kept)
    tokens = chosen % vocabulary
    return Candidates(
        scores=xp.take_along_axis(total, chosen, axis=1),
        beams=chosen // vocabulary,
        tokens=tokens,
        end=xp.isin(tokens, eos) | last,
    )


def update_ended(
    ended: Ended,
    found: Candidates,
    candidates: Int[Array, "prompts candidates tokens"],
    sources: Int[Array, "prompts candidates length"],
    improvable: Bool[Array, "prompts 1"],
    length: int,
    settings: GenerationSettings,
) -> Ended:
    """Return the best of the ended texts and of those `candidates` (of `length` new tokens, from the rows `sources`) that end
    now and are among the best `num_beams`.
    """
    xp = array_module(found.scores)
    beams = ended.ids.shape[1]
    ends = found.end & (xp.arange(found.end.shape[1]) < beams)
    scores = found.scores / length**settings.length_penalty
    full = ended.taken.all(axis=1, keepdims=True) & (settings.early_stopping is True)
    for barred in (full, ~improvable, ~ends):
        scores = scores + barred * scores.dtype.type(NEVER)
    ids = _padded(candidates, ended.ids.shape[2], _filler(settings))
    origins = _padded(sources, ended.origins.shape[2], -1)
    merged = xp.concatenate([ended.scores, scores], axis=1)
    chosen = best(merged, beams)
    taken = xp.concatenate([ended.taken, ends], axis=1)
    lengths = xp.concatenate([ended.lengths, xp.full_like(found.tokens, length)], axis=1)
    return Ended(
        ids=xp.take_along_axis(xp.concatenate([ended.ids, ids], axis=1), chosen[:, :, None], axis=1),
        scores=xp.take_along_axis(merged, chosen, axis=1),
        lengths=xp.take_along_axis(lengths, chosen, axis=1),
        taken=xp.take_along_axis(taken, chosen, axis=1),
        origins=xp.take_along_axis(xp.concatenate([ended.origins, origins], axis=1), chosen[:, :, None], axis=1),
    )


def _padded(
    x: Int[Array, "prompts candidates tokens"], width: int, value: int
) -> Int[Array, "prompts candidates width"]:
    xp = array_module(x)
    wide = xp.full((*x.shape[:2], width), value, dtype=np.int64)
    wide[:, :, : x.shape[2]] = x
    return wide


def go_on(
    found: Candidates, text: Continuation, beams: int
) -> tuple[Float[Array, "prompts beams"], Int[Array, " rows"]]:
    """Append the best candidates that don't end to `text`, and return their scores and the rows that they continue."""
    xp = array_module(found.scores)
    scores = found.scores + found.end * found.scores.dtype.type(NEVER)
    chosen = best(scores, beams)
    rows = xp.take_along_axis(found.beams, chosen, axis=1) + beams * xp.arange(len(chosen))[:, None]
    rows = rows.reshape(-1)
    text.reorder(rows)
    text.append(xp.take_along_axis(found.tokens, chosen, axis=1).reshape(-1))
    return xp.take_along_axis(scores, chosen, axis=1), rows


def can_improve(
    running: Float[Array, "prompts beams"], ended: Ended, made: int, new_tokens: int, settings: GenerationSettings
) -> Bool[Array, "prompts 1"]:
    """Return True where the best running beam might still beat an ended text.

    Its score is what it would be if it ended now, or, for early_stopping="never" and a length penalty that favours long texts, at
    the greatest length.
    """
    xp = array_module(running)
    hopeful = settings.early_stopping == "never" and settings.length_penalty > 0
    possible = running[:, :1] / (new_tokens if hopeful else made) ** settings.length_penalty
    worst = xp.where(ended.taken, ended.scores.min(axis=1, keepdims=True), NEVER)
    return (possible > worst).any(axis=1, keepdims=True)


def _filler(settings: GenerationSettings) -> int:
    """Return the token that fills ended texts. A pad token 0 counts as none, as in transformers' `pad_token_id or
    eos_token_id[0]`.
    """
    eos = settings.eos_tokens()
    return (settings.pad_token() or eos[0]) if eos else -1
