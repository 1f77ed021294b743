"""Beam search: of all continuations of a prompt's beams, the best go on, and the best of those that end are kept.

The score of a text is the sum of its tokens' log-probabilities; an ended text's is divided by length^length_penalty. The
bookkeeping is that of transformers' `_beam_search` (4.50 to 5.23), where -1e9 stands for "not to be chosen".
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from ovis2_ref.errors import InputError
from ovis2_ref.generation.continuation import Continuation
from ovis2_ref.generation.processors import log_softmax
from ovis2_ref.generation.sampling import draw, impossible
from ovis2_ref.generation.scores import Processor, process_scores
from ovis2_ref.generation.settings import GenerationSettings
from ovis2_ref.generation.truncation import best
from ovis2_ref.ops import softmax
from ovis2_ref.runtime.arrays import Array, array_module, to_device, to_host

NEVER = -1e9


@dataclass(frozen=True)
class Candidates:
    """The best continuations of each prompt's beams by one token, best first."""

    scores: Float[Array, "prompts candidates"]
    beams: Int[Array, "prompts candidates"]
    """Which beam each continues."""
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


def beam_search(
    text: Continuation,
    settings: GenerationSettings,
    processors: list[Processor],
    first: int,
    new_tokens: int,
    generator: np.random.Generator,
) -> Int[np.ndarray, "rows tokens"]:
    """The `num_return_sequences` best texts for each prompt; short ones are filled with the pad token.

    `text` holds `num_beams` rows for each prompt; the processors see the tokens from `first` on. Raises `InputError` when
    no continuation can be chosen.
    """
    xp = array_module(text.scores)
    beams, eos = settings.num_beams, xp.asarray(settings.eos_tokens(), dtype=np.int64)
    prompts, start = len(text.ids) // beams, text.ids.shape[1]
    kept = max(2, 1 + len(eos)) * beams
    running = xp.full((prompts, beams), NEVER, dtype=text.scores.dtype)
    running[:, 0] = 0  # all beams begin alike: only the first counts
    ended = Ended(
        ids=xp.full((prompts, beams, start + new_tokens), _filler(settings), dtype=np.int64),
        scores=xp.full_like(running, NEVER),
        lengths=xp.zeros((prompts, beams), dtype=np.int64),
        taken=xp.zeros((prompts, beams), dtype=bool),
    )
    improvable = xp.ones((prompts, 1), dtype=bool)
    while True:
        scores = process_scores(processors, text.ids[:, first:], log_softmax(text.scores))
        found = continuations(
            running, scores, kept, eos, text.made + 1 == new_tokens, generator if settings.do_sample else None
        )
        possible = xp.isfinite(found.scores[:, 0]).all()
        ended = update_ended(ended, found, improvable, text, settings)
        running = go_on(found, text, beams)
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
    longest = start + int(ended.lengths[:, :returned].max())
    return to_host(ended.ids[:, :returned, :longest].reshape(prompts * returned, longest))


def continuations(
    running: Float[Array, "prompts beams"],
    scores: Float[Array, "rows vocabulary"],
    kept: int,
    eos: Int[Array, " eos"],
    last: bool,
    generator: np.random.Generator | None,
) -> Candidates:
    """The `kept` best of all tokens after all beams, or with a generator, drawn by softmax(score) without replacement.

    With end tokens + 1 of them for each beam, as many as there are beams don't end, whatever happens.
    """
    xp = array_module(scores)
    prompts, beams = running.shape
    vocabulary = scores.shape[1]
    total = (scores.reshape(prompts, beams, vocabulary) + running[:, :, None]).reshape(prompts, -1)
    chosen = best(total, kept) if generator is None else draw_several(total, kept, generator)
    tokens = chosen % vocabulary
    return Candidates(
        scores=xp.take_along_axis(total, chosen, axis=1),
        beams=chosen // vocabulary,
        tokens=tokens,
        end=xp.isin(tokens, eos) | last,
    )


def draw_several(
    scores: Float[Array, "prompts choices"], k: int, generator: np.random.Generator
) -> Int[Array, "prompts k"]:
    """k different choices, one after the other, each drawn by softmax(score) from those left.

    Where fewer than k have any probability, the rest are the best of the others.
    """
    xp = array_module(scores)
    rows = xp.arange(len(scores))
    probabilities = softmax(scores)
    left = xp.maximum(scores, np.finfo(scores.dtype).min)  # those that are ruled out come before those that are taken
    chosen = []
    for _ in range(k):
        drawn = draw(probabilities, to_device(generator.random(len(scores)), xp))
        drawn = xp.where(drawn < 0, left.argmax(axis=1), drawn)
        probabilities[rows, drawn] = 0
        left[rows, drawn] = -np.inf
        chosen.append(drawn)
    return xp.stack(chosen, axis=1)


def update_ended(
    ended: Ended,
    found: Candidates,
    improvable: Bool[Array, "prompts 1"],
    text: Continuation,
    settings: GenerationSettings,
) -> Ended:
    """The best of the ended texts and of those candidates that end now and are among the best `num_beams`."""
    xp = array_module(found.scores)
    prompts, beams, width = ended.ids.shape
    length = text.made + 1
    ends = found.end & (xp.arange(found.end.shape[1]) < beams)
    scores = found.scores / length**settings.length_penalty
    full = ended.taken.all(axis=1, keepdims=True) & (settings.early_stopping is True)
    for barred in (full, ~improvable, ~ends):
        scores = scores + barred * scores.dtype.type(NEVER)
    ids = xp.full((prompts, found.end.shape[1], width), _filler(settings), dtype=np.int64)
    so_far = text.ids.reshape(prompts, beams, -1)
    ids[:, :, : so_far.shape[2]] = xp.take_along_axis(so_far, found.beams[:, :, None], axis=1)
    ids[:, :, so_far.shape[2]] = found.tokens
    merged = xp.concatenate([ended.scores, scores], axis=1)
    chosen = best(merged, beams)
    taken = xp.concatenate([ended.taken, ends], axis=1)
    lengths = xp.concatenate([ended.lengths, xp.full_like(found.tokens, length)], axis=1)
    return Ended(
        ids=xp.take_along_axis(xp.concatenate([ended.ids, ids], axis=1), chosen[:, :, None], axis=1),
        scores=xp.take_along_axis(merged, chosen, axis=1),
        lengths=xp.take_along_axis(lengths, chosen, axis=1),
        taken=xp.take_along_axis(taken, chosen, axis=1),
    )


def go_on(found: Candidates, text: Continuation, beams: int) -> Float[Array, "prompts beams"]:
    """Put the best candidates that don't end behind `text`, and return their scores."""
    xp = array_module(found.scores)
    scores = found.scores + found.end * found.scores.dtype.type(NEVER)
    chosen = best(scores, beams)
    rows = xp.take_along_axis(found.beams, chosen, axis=1) + beams * xp.arange(len(chosen))[:, None]
    text.reorder(rows.reshape(-1))
    text.append(xp.take_along_axis(found.tokens, chosen, axis=1).reshape(-1))
    return xp.take_along_axis(scores, chosen, axis=1)


def can_improve(
    running: Float[Array, "prompts beams"], ended: Ended, made: int, new_tokens: int, settings: GenerationSettings
) -> Bool[Array, "prompts 1"]:
    """True where the best running beam might yet beat an ended text.

    Its score is taken as it would be if it ended now, or, for early_stopping="never" and a length penalty that favours long
    texts, at the greatest length.
    """
    xp = array_module(running)
    hopeful = settings.early_stopping == "never" and settings.length_penalty > 0
    possible = running[:, :1] / (new_tokens if hopeful else made) ** settings.length_penalty
    worst = xp.where(ended.taken, ended.scores.min(axis=1, keepdims=True), NEVER)
    return (possible > worst).any(axis=1, keepdims=True)


def _filler(settings: GenerationSettings) -> int:
    """What fills up ended texts. A pad token 0 counts as none at all, as in transformers' `pad_token_id or eos_token_id[0]`."""
    eos = settings.eos_tokens()
    return (settings.pad_token() or eos[0]) if eos else -1
