"""Temperature and the ways of cutting off unlikely tokens, each against transformers' class of its purpose.

What is kept is equal to the bit. Which tokens are kept is equal, too, but where a probability lies on the threshold: the
two libraries' exp differ in the last place. The bound there is stated where it is used; the margin is computed in float64.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers.generation import logits_process as theirs

from ovis2_ref.generation import truncation as ours
from tests.generation.drawn import apply, scores_and_ids

EPS = np.finfo(np.float32).eps
CHANCE = 46 * EPS
"""What a probability of 0.01 or more of the largest, among 30 tokens, is off by, relative to itself; and a sum of probabilities.

The exponent is off by 4.6 u (log 100), their mean by 3.4 (log 30), two exponentials by 4 u each, a sum of 30 by 30 u.
"""
ENTROPY = 272 * EPS
"""What log p and the entropy are off by, relative to 1 + the largest |log p|.

log p by (2 |log p| + 58) u (`test_processors.py::test_log_softmax`), the entropy by the mean of that and log 30 times `CHANCE`.
"""
fractions = st.floats(0.01, 0.99)
keeps = st.integers(1, 3)


def chances(scores: np.ndarray) -> np.ndarray:
    """softmax in float64."""
    y = np.exp(scores.astype(np.float64) - scores.max(axis=-1, keepdims=True))
    return y / y.sum(axis=-1, keepdims=True)


def entropy(p: np.ndarray) -> np.ndarray:
    """-sum p log p in float64."""
    return -(p * np.log(np.where(p > 0, p, 1))).sum(axis=-1, keepdims=True)


def same_but_at(a: np.ndarray, b: np.ndarray, margin: np.ndarray, bound: np.ndarray | float) -> None:
    """Equal to the bit where the margin to the threshold exceeds the bound."""
    assert a.dtype == b.dtype
    differ = a != b
    assert (np.abs(margin)[differ] <= np.broadcast_to(bound, margin.shape)[differ]).all()
    assert np.isfinite(a).any(axis=-1).all()


def same_kept(a: np.ndarray, b: np.ndarray, clear: np.ndarray) -> None:
    """The same scores are kept in each row that is clear; which one of equals is left to the sort (torch's is not stable)."""
    assert a.dtype == b.dtype
    np.testing.assert_array_equal(np.sort(a, axis=-1)[clear], np.sort(b, axis=-1)[clear])
    assert np.isfinite(a).any(axis=-1).all()


@given(scores_and_ids(), st.sampled_from([0.01, 0.7, 1.3, 100.0]))
def test_temperature(drawn, t) -> None:
    scores, ids = drawn
    np.testing.assert_array_equal(ours.temperature(scores, t), apply(theirs.TemperatureLogitsWarper(t), ids, scores))


@given(scores_and_ids(), st.integers(1, 40), keeps)
def test_top_k(drawn, k, keep) -> None:
    scores, ids = drawn
    reference = theirs.TopKLogitsWarper(k, min_tokens_to_keep=keep)
    np.testing.assert_array_equal(ours.top_k(scores, k, keep), apply(reference, ids, scores))


@given(scores_and_ids(), fractions | st.sampled_from([0.0, 1.0]), keeps)
def test_top_p(drawn, p, keep) -> None:
    """Equal where no sum of probabilities is nearer to 1 - p than the sum's error."""
    scores, ids = drawn
    sums = np.sort(chances(scores), axis=-1).cumsum(axis=-1)
    clear = (np.abs(sums - (1 - p)) > CHANCE).all(axis=-1) | (keep >= scores.shape[-1])
    reference = theirs.TopPLogitsWarper(p, min_tokens_to_keep=keep)
    same_kept(ours.top_p(scores, p, keep), apply(reference, ids, scores), clear)


@given(scores_and_ids(), fractions | st.sampled_from([0.0, 1.0]))
def test_min_p(drawn, p) -> None:
    """Equal where no probability is nearer to the threshold p max(p) than its error."""
    scores, ids = drawn
    threshold = p * chances(scores).max(axis=-1, keepdims=True)
    a, b = ours.min_p(scores, p), apply(theirs.MinPLogitsWarper(p), ids, scores)
    same_but_at(a, b, chances(scores) - threshold, CHANCE * threshold)


@given(scores_and_ids(), fractions, keeps)
def test_min_p_keeps_the_best(drawn, p, keep) -> None:
    """At least `keep` tokens stay. Scores so low that float32 makes their probability 0 count as equal: none are drawn here."""
    scores, ids = drawn
    scores = np.maximum(scores, -60)
    scores -= scores.max(axis=-1, keepdims=True)
    scores = np.maximum(scores, np.float32(-60))
    relative = chances(scores) / chances(scores).max(axis=-1, keepdims=True)
    clear = (np.abs(relative - p) > CHANCE * p).all(axis=-1)
    reference = theirs.MinPLogitsWarper(p, min_tokens_to_keep=keep)
    same_kept(ours.min_p(scores, p, keep), apply(reference, ids, scores), clear)


@given(scores_and_ids(), fractions, keeps)
def test_typical_p(drawn, mass, keep) -> None:
    """Equal where no two distances from the entropy, nor a sum and the mass, are nearer to each other than their error."""
    scores, ids = drawn
    a = ours.typical_p(scores, mass, keep)
    b = apply(theirs.TypicalLogitsWarper(mass, min_tokens_to_keep=keep), ids, scores)
    assert a.dtype == b.dtype
    for i in range(len(scores)):
        p = chances(scores[i : i + 1])[0]
        distance = np.abs(-np.log(np.where(p > 0, p, 1)) - entropy(p[None])[0])[p > 0]
        bound = ENTROPY * (1 + distance.max() + np.abs(scores[i][p > 0]).max())
        order = np.argsort(distance)
        sums = p[p > 0][order].cumsum()
        clear = (np.diff(distance[order]) > bound).all() and (np.abs(sums - mass) > CHANCE).all()
        if clear and (scores[i] > -np.inf).sum() == (p > 0).sum():
            np.testing.assert_array_equal(a[i], b[i])
        assert np.isfinite(a[i]).any()


@given(scores_and_ids(), fractions, keeps)
def test_epsilon_cutoff(drawn, epsilon, keep) -> None:
    scores, ids = drawn
    reference = theirs.EpsilonLogitsWarper(epsilon, min_tokens_to_keep=keep)
    a, b = ours.epsilon_cutoff(scores, epsilon, keep), apply(reference, ids, scores)
    same_but_at(a, b, chances(scores) - epsilon, CHANCE * epsilon)


@given(scores_and_ids(), fractions, keeps)
def test_eta_cutoff(drawn, epsilon, keep) -> None:
    """Equal where no probability is nearer to the threshold than its error: exp(-entropy) is off by the entropy's."""
    scores, ids = drawn
    reference = theirs.EtaLogitsWarper(epsilon, min_tokens_to_keep=keep)
    p = chances(scores)
    eta = np.minimum(epsilon, np.sqrt(epsilon) * np.exp(-entropy(p)))
    spread = 1 + np.abs(np.where(np.isfinite(scores), scores, 0)).max()
    a, b = ours.eta_cutoff(scores, epsilon, keep), apply(reference, ids, scores)
    same_but_at(a, b, p - eta, ENTROPY * spread * eta)


@given(scores_and_ids(), st.data())
def test_best(drawn, data) -> None:
    """The first of a stable sort by falling score."""
    scores, _ = drawn
    k = data.draw(st.integers(1, scores.shape[1]))
    np.testing.assert_array_equal(
        np.take_along_axis(scores, ours.best(scores, k), axis=-1), -np.sort(-scores, axis=-1)[:, :k]
    )


AT_THE_THRESHOLD = {
    "top_p 0.5": (lambda x: ours.top_p(x, 0.5), theirs.TopPLogitsWarper(0.5), 2),
    "min_p 1": (lambda x: ours.min_p(x, 1.0), theirs.MinPLogitsWarper(1.0), 4),
    "epsilon 0.25": (lambda x: ours.epsilon_cutoff(x, 0.25), theirs.EpsilonLogitsWarper(0.25), 4),
    "top_p 0.75": (lambda x: ours.top_p(x, 0.75), theirs.TopPLogitsWarper(0.75), 3),
}


@pytest.mark.parametrize("what", AT_THE_THRESHOLD)
def test_threshold_itself(what) -> None:
    """Four equal scores have the probability 1/4 to the last place: at a threshold, top-p cuts, the others keep."""
    mine, reference, kept = AT_THE_THRESHOLD[what]
    scores = np.zeros((1, 4), dtype=np.float32)
    assert np.isfinite(mine(scores)).sum() == kept == np.isfinite(apply(reference, np.zeros((1, 0), int), scores)).sum()
