"""The processors that history and length call for, each against transformers' class of its purpose, to the bit in float32."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from transformers.generation import logits_process as theirs

from ovis2_ref.generation import processors as ours
from tests.bounds import expect_within
from tests.generation.drawn import apply, scores_and_ids
from tests.generation.torch_backed import BEFORE_5

penalties = st.sampled_from([0.3, 0.9, 1.1, 1.7, 30.0])
SINCE_5 = pytest.mark.skipif(BEFORE_5, reason="transformers 4.56 counts the padding, too")


def same(a: np.ndarray, b: np.ndarray) -> None:
    """Equal to the bit, and of one type."""
    assert a.dtype == b.dtype
    np.testing.assert_array_equal(a, b)


@given(scores_and_ids(), penalties)
def test_repetition_penalty(drawn, penalty) -> None:
    scores, ids = drawn
    same(
        ours.repetition_penalty(ids, scores, penalty),
        apply(theirs.RepetitionPenaltyLogitsProcessor(penalty), ids, scores),
    )


@SINCE_5
@given(scores_and_ids(), penalties, st.lists(st.integers(0, 12), min_size=4, max_size=4))
def test_repetition_penalty_leaves_the_padding_out(drawn, penalty, padding) -> None:
    scores, ids = drawn
    ignored = np.array(padding[: len(ids)])
    reference = theirs.RepetitionPenaltyLogitsProcessor(penalty, prompt_ignore_length=torch.from_numpy(ignored))
    same(ours.repetition_penalty(ids, scores, penalty, ignored), apply(reference, ids, scores))


@given(scores_and_ids(), penalties)
def test_reward_for_tokens_of_the_prompt(drawn, penalty) -> None:
    scores, ids = drawn
    reference = theirs.EncoderRepetitionPenaltyLogitsProcessor(penalty, torch.from_numpy(ids))
    same(ours.repetition_penalty(ids, scores, 1 / penalty), apply(reference, ids, scores))


def test_ids_outside_the_vocabulary_are_no_tokens() -> None:
    scores = np.array([[1.0, 2.0, -3.0]], dtype=np.float32)
    same(ours.repetition_penalty(np.array([[-300, 3, 99]]), scores, 2.0), scores)
    same(ours.no_repeat_ngram(np.array([[-300, 3, 99]]), scores, 1), scores)


@given(scores_and_ids(), st.integers(1, 5))
def test_no_repeat_ngram(drawn, size) -> None:
    scores, ids = drawn
    ids %= 3  # few tokens, so that runs recur
    same(ours.no_repeat_ngram(ids, scores, size), apply(theirs.NoRepeatNGramLogitsProcessor(size), ids, scores))


@given(scores_and_ids(), st.integers(1, 4), st.integers(0, 6))
def test_no_ngram_of_the_prompt(drawn, size, new) -> None:
    scores, prompt = drawn
    prompt %= 2
    ids = np.concatenate([prompt, prompt[:, ::-1][:, :new]], axis=1)
    reference = theirs.EncoderNoRepeatNGramLogitsProcessor(size, torch.from_numpy(prompt))
    if ids.shape[1] >= size - 1:  # before that, transformers compares with a prefix that is too short
        same(ours.no_repeat_ngram(ids, scores, size, prompt), apply(reference, ids, scores))


@st.composite
def biased(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, dict[tuple[int, ...], float]]:
    """Scores, ids, and biases, many of them for sequences that the ids end with."""
    scores, ids = draw(scores_and_ids())
    tokens = st.integers(0, scores.shape[1] - 1)
    pieces = st.lists(tokens, min_size=1, max_size=4).map(tuple)
    if ids.size:
        tails = st.tuples(st.integers(0, min(3, ids.shape[1])), st.integers(0, len(ids) - 1), tokens).map(
            lambda t: (*ids[t[1], ids.shape[1] - t[0] :].tolist(), t[2])
        )
        pieces = tails | pieces
    return scores, ids, draw(st.dictionaries(pieces, st.sampled_from([-7.3, 0.1, 1e3, 2.5]), min_size=1, max_size=6))


def as_arrays(biases: dict[tuple[int, ...], float]) -> list[tuple[np.ndarray, float]]:
    """Short sequences first."""
    return [(np.asarray(tokens), bias) for tokens, bias in sorted(biases.items(), key=lambda item: len(item[0]))]


@given(biased())
def test_sequence_bias(drawn) -> None:
    scores, ids, biases = drawn
    assume(ids.shape[1] >= 4 or not BEFORE_5)  # 4.56 leaves out a sequence as long as the text and one token more
    reference = theirs.SequenceBiasLogitsProcessor(biases)
    # The six biases of one token may be added up in another order: each sum is off by u of the sizes added so far.
    a, b = ours.sequence_bias(ids, scores, as_arrays(biases)), apply(reference, ids, scores)
    np.testing.assert_array_equal(np.isinf(a), np.isinf(b))
    largest = np.abs(scores[np.isfinite(scores)]).max()
    tolerance = 6 * np.finfo(np.float32).eps * (sum(map(abs, biases.values())) + largest)
    np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


@given(biased())
def test_bad_words(drawn) -> None:
    scores, ids, biases = drawn
    assume(ids.shape[1] >= 4 or not BEFORE_5)  # 4.56 leaves out a sequence as long as the text and one token more
    reference = theirs.NoBadWordsLogitsProcessor([list(tokens) for tokens in biases])
    same(ours.sequence_bias(ids, scores, as_arrays(dict.fromkeys(biases, -np.inf))), apply(reference, ids, scores))


@given(scores_and_ids(), st.data())
def test_end_tokens(drawn, data) -> None:
    """Suppressed before the least length, forced at the greatest, raised by the exponential decay in between."""
    scores, ids = drawn
    eos = data.draw(st.lists(st.integers(0, scores.shape[1] - 1), min_size=1, max_size=3, unique=True))
    tokens, length = np.array(eos), ids.shape[1]
    same(ours.suppress(scores, tokens), apply(theirs.MinLengthLogitsProcessor(length + 1, eos), ids, scores))
    same(ours.suppress(scores, tokens), apply(theirs.SuppressTokensLogitsProcessor(eos), ids, scores))
    same(ours.force(scores, tokens), apply(theirs.ForcedEOSTokenLogitsProcessor(length + 1, eos), ids, scores))
    if length > 1 and not BEFORE_5:
        factor = data.draw(st.sampled_from([0.5, 1.05, 3.0]))
        reference = theirs.ExponentialDecayLengthPenalty((1, factor), eos, 0)
        same(ours.exponential_decay(scores, tokens, factor, length - 1), apply(reference, ids, scores))


@given(scores_and_ids(), st.data())
def test_invalid_values(drawn, data) -> None:
    scores, ids = drawn
    for value in (np.nan, np.inf, -np.inf):
        scores[:, data.draw(st.integers(0, scores.shape[1] - 1))] = value
    same(ours.remove_invalid(scores), apply(theirs.InfNanRemoveLogitsProcessor(), ids, scores))


@given(scores_and_ids())
def test_log_softmax(drawn) -> None:
    """d - log(sum of exp(d)), d = x - max: d is off by |d| u, the sum by (n + 4) u and the mean of |d| u, log n at most.

    The logarithm is off by 4 u of itself: all of it by (2 |result| + n + 4 + 5 log n) u.
    """
    scores, ids = drawn
    a, b = ours.log_softmax(scores), apply(theirs.LogitNormalization(), ids, scores)
    assert a.dtype == b.dtype
    finite = np.isfinite(b)
    np.testing.assert_array_equal(np.isfinite(a), finite)
    n = scores.shape[1]
    expect_within(a[finite], b[finite], 2 * np.abs(b[finite].astype(np.float64)) + n + 4 + 5 * np.log(n))
