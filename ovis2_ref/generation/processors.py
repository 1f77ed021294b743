"""Logits processors: change the scores of the next token according to the tokens so far, or the length reached.

Each is a pure function from scores (batch, vocabulary), and from ids (batch, tokens) where history matters, to new scores. It
computes the same as the class of transformers that its docstring names.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from ovis2_ref.errors import InputError
from ovis2_ref.files.checks import shown
from ovis2_ref.runtime.arrays import Array, array_module

Ids = Int[Array, "batch tokens"]
Scores = Float[Array, "batch vocabulary"]
"""The scores of the next token: logits, or what processors have made of them."""


def token_mask(ids: Ids, vocabulary: int) -> Bool[Array, "batch vocabulary"]:
    """Return True where a row of `ids` holds that token; ids outside the vocabulary are ignored.

    >>> token_mask(np.array([[2, 0, 2]]), 4).tolist()
    [[True, False, True, False]]
    """
    xp = array_module(ids)
    mask = xp.zeros((ids.shape[0], vocabulary + 1), dtype=bool)
    mask[xp.arange(ids.shape[0])[:, None], xp.where((ids >= 0) & (ids < vocabulary), ids, vocabulary)] = True
    return mask[:, :vocabulary]


def repetition_penalty(ids: Ids, scores: Scores, penalty: float, ignored: Int[Array, " batch"] | None = None) -> Scores:
    """score / penalty where it is positive, score * penalty where it is negative, for every token that has occurred.

    The first `ignored` tokens of each row don't count: transformers 5.x leaves out the padding on the left (4.56 penalises the
    padding token). Keskar et al., 2019 (CTRL), section 4.1; the sign is transformers' `RepetitionPenaltyLogitsProcessor`.
    """
    xp = array_module(scores)
    if ignored is not None:
        ids = xp.where(xp.arange(ids.shape[1]) < ignored[:, None], -1, ids)
    punished = xp.where(scores < 0, scores * penalty, scores / penalty)
    return xp.where(token_mask(ids, scores.shape[-1]), punished, scores)


def no_repeat_ngram(
    ids: Ids, scores: Scores, size: int, source: Int[Array, "batch source_tokens"] | None = None
) -> Scores:
    """Set -inf for a token that would complete a run of `size` tokens that `source` (by default `ids` itself) already holds.

    transformers' `NoRepeatNGramLogitsProcessor`, and with the prompt as source its `EncoderNoRepeatNGramLogitsProcessor`.
    """
    xp = array_module(scores)
    source = ids if source is None else source
    windows = source.shape[1] - size + 1
    if windows <= 0 or ids.shape[1] < size - 1:
        return scores
    matches = xp.ones((len(ids), windows), dtype=bool)
    for i in range(size - 1):
        matches &= source[:, i : i + windows] == ids[:, ids.shape[1] - size + 1 + i, None]
    completing = xp.where(matches, source[:, size - 1 :], -1)
    return xp.where(token_mask(completing, scores.shape[-1]), -np.inf, scores)


def sequence_bias(ids: Ids, scores: Scores, biases: Sequence[tuple[Int[Array, " _"], float]]) -> Scores:
    """Add the bias of each token sequence to the score of its last token, where the tokens before it have just been made.

    transformers' `SequenceBiasLogitsProcessor`; with -inf as the bias, its `NoBadWordsLogitsProcessor`.
    """
    xp = array_module(scores)
    total = xp.zeros_like(scores)
    for tokens, bias in biases:
        before = len(tokens) - 1
        if before <= ids.shape[1]:
            match = (ids[:, ids.shape[1] - before :] == tokens[:-1]).all(axis=-1, keepdims=True)
            total[:, tokens[-1:]] += xp.where(match, bias, 0.0).astype(scores.dtype)
    return scores + total


def suppress(scores: Scores, tokens: Int[Array, " tokens"]) -> Scores:
    """Set -inf for each of `tokens`: the end tokens before the least length (`MinNewTokensLengthLogitsProcessor`), or others."""
    suppressed = scores.copy()
    suppressed[:, tokens] = -np.inf
    return suppressed


def allow_only(ids: Ids, scores: Scores, allowed: Callable[[int, Array], Sequence[int]], beams: int) -> Scores:
    """Set -inf for all but the tokens `allowed(prompt, ids of the row)`, with `beams` rows for each prompt.

    De Cao et al., 2021 (GENRE); transformers' `PrefixConstrainedLogitsProcessor`. Raises `InputError` where `allowed` returns
    anything but tokens, or none.
    """
    kept = array_module(scores).full_like(scores, -np.inf)
    for row, so_far in enumerate(ids):
        answer = allowed(row // beams, so_far)
        try:
            tokens = [int(token) for token in answer]
        except (TypeError, ValueError):
            tokens = []
        if not tokens or not 0 <= min(tokens) <= max(tokens) < scores.shape[1]:
            raise InputError(
                f"prefix_allowed_tokens_fn returned {shown(answer)} for row {row}; return at least one token, each from 0 to "
                f"{scores.shape[1] - 1}"
            )
        kept[row, tokens] = scores[row, tokens]
    return kept


def force(scores: Scores, tokens: Int[Array, " tokens"]) -> Scores:
    """Set 0 for each of `tokens`, -inf for all others (transformers' `ForcedEOSTokenLogitsProcessor`, at the last step)."""
    forced = array_module(scores).full_like(scores, -np.inf)
    forced[:, tokens] = 0
    return forced


def remove_invalid(scores: Scores) -> Scores:
    """Replace NaN by 0, and an infinity by the largest number of its sign (transformers' `InfNanRemoveLogitsProcessor`)."""
    limits = np.finfo(scores.dtype)
    return array_module(scores).nan_to_num(scores, nan=0.0, posinf=float(limits.max), neginf=float(limits.min))


def exponential_decay(scores: Scores, eos_tokens: Int[Array, " tokens"], factor: float, steps: int) -> Scores:
    """score + |score| (factor^steps - 1) for the end tokens, `steps` after the start of the decay; infinities stay.

    transformers' `ExponentialDecayLengthPenalty`: a factor above 1 makes the end likelier with every step.
    """
    xp = array_module(scores)
    ends = scores[:, eos_tokens]
    with np.errstate(over="ignore"):
        growth = min(float(np.float64(factor) ** steps), float(np.finfo(scores.dtype).max))
    raised = xp.where(xp.isfinite(ends), xp.abs(ends), 0) * (growth - 1)
    decayed = scores.copy()
    decayed[:, eos_tokens] = ends + raised
    return decayed


def log_softmax(scores: Scores) -> Scores:
    """score_i - log sum_j exp(score_j): scores as log-probabilities (transformers' `LogitNormalization`)."""
    xp = array_module(scores)
    shifted = scores - scores.max(axis=-1, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(axis=-1, keepdims=True))
