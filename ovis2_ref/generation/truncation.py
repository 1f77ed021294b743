"""Processors for sampling: temperature, and rules that cut off unlikely tokens.

Each is a pure function of the scores (batch, vocabulary); a token that is cut off gets -inf, and at least `keep` tokens stay.
Each computes the same as the class of transformers that its docstring names.
"""

import math

import numpy as np
from jaxtyping import Float, Int

from ovis2_ref.generation.processors import Scores, log_softmax
from ovis2_ref.ops import softmax
from ovis2_ref.runtime.arrays import Array, array_module


def best(scores: Scores, k: int) -> Int[Array, "batch k"]:
    """Return the indices of the k highest scores, highest first; of equal scores, the first come first.

    >>> best(np.array([[0.5, 2.0, 2.0, 1.0]]), 3).tolist()
    [[1, 2, 3]]
    """
    xp = array_module(scores)
    chosen = xp.sort(xp.argpartition(-scores, k - 1, axis=-1)[:, :k], axis=-1)
    order = xp.argsort(-xp.take_along_axis(scores, chosen, axis=-1), axis=-1, kind="stable")
    return xp.take_along_axis(chosen, order, axis=-1)


def temperature(scores: Scores, t: float) -> Scores:
    """scores / t: t < 1 sharpens the distribution, t > 1 flattens it (`TemperatureLogitsWarper`)."""
    return scores / t


def top_k(scores: Scores, k: int, keep: int = 1) -> Scores:
    """Keep the k highest scores, and those equal to the k-th (Fan et al., 2018; `TopKLogitsWarper`).

    >>> top_k(np.array([[1.0, 3.0, 3.0, 2.0]]), 1).tolist()
    [[-inf, 3.0, 3.0, -inf]]
    """
    return _below(scores, _kth_highest(scores, max(k, keep)))


def top_p(scores: Scores, p: float, keep: int = 1) -> Scores:
    """Keep the smallest set of likeliest tokens with a probability of p or more together (Holtzman et al., 2019;
    `TopPLogitsWarper`).

    In ascending order, tokens are cut off while the sum of their probabilities is at most 1 - p. The sum is carried in float64
    and rounded to the scores' type at each token, as torch does it on a CPU.
    """
    xp = array_module(scores)
    ascending = xp.argsort(scores, axis=-1, kind="stable")
    probabilities = softmax(xp.take_along_axis(scores, ascending, axis=-1))
    cut = xp.cumsum(probabilities, axis=-1, dtype=np.float64).astype(scores.dtype) <= 1 - p
    cut[:, -keep:] = False
    return _scatter_cut(scores, ascending, cut)


def min_p(scores: Scores, p: float, keep: int = 1) -> Scores:
    """Keep the tokens with at least p times the highest probability (Nguyen et al., 2024; `MinPLogitsWarper`)."""
    xp = array_module(scores)
    probabilities = softmax(scores)
    cut = probabilities < p * probabilities.max(axis=-1, keepdims=True)
    cut[xp.arange(len(scores))[:, None], best(probabilities, min(keep, scores.shape[-1]))] = False
    return xp.where(cut, -np.inf, scores)


def typical_p(scores: Scores, mass: float, keep: int = 1) -> Scores:
    """Keep the tokens whose -log p is nearest to the entropy, up to a probability of `mass` together.

    Meister et al., 2022; transformers' `TypicalLogitsWarper`, which also keeps the tokens at the same distance as the last one.
    """
    xp = array_module(scores)
    surprise = -log_softmax(scores)
    chances = xp.exp(-surprise)
    entropy = xp.where(chances > 0, surprise * xp.where(chances > 0, chances, 1), 0).sum(axis=-1, keepdims=True)
    distance = xp.abs(surprise - entropy)
    nearest = xp.argsort(distance, axis=-1, kind="stable")
    ordered = softmax(xp.take_along_axis(scores, nearest, axis=-1))
    sums = xp.cumsum(ordered, axis=-1, dtype=np.float64).astype(scores.dtype)
    last = xp.minimum((sums < mass).sum(axis=-1, keepdims=True), scores.shape[-1] - 1)
    distances = xp.take_along_axis(distance, nearest, axis=-1)
    cut = distances > xp.take_along_axis(distances, last, axis=-1)
    cut[:, :keep] = False
    return _scatter_cut(scores, nearest, cut)


def epsilon_cutoff(scores: Scores, epsilon: float, keep: int = 1) -> Scores:
    """Keep the tokens with a probability of at least epsilon (Hewitt et al., 2022; `EpsilonLogitsWarper`)."""
    xp = array_module(scores)
    cut = (softmax(scores) < epsilon) & (scores < _kth_highest(scores, keep))
    return xp.where(cut, -np.inf, scores)


def eta_cutoff(scores: Scores, epsilon: float, keep: int = 1) -> Scores:
    """Keep the tokens with a probability of at least min(epsilon, sqrt(epsilon) exp(-entropy)) (Hewitt et al., 2022).

    transformers' `EtaLogitsWarper`.
    """
    xp = array_module(scores)
    chances = softmax(scores)
    logs = xp.maximum(log_softmax(scores), np.finfo(scores.dtype).min)
    entropy = -(chances * logs).sum(axis=-1, keepdims=True)
    eta = xp.minimum(epsilon, math.sqrt(epsilon) * xp.exp(-entropy))
    cut = (chances < eta) & (scores < _kth_highest(scores, keep))
    return xp.where(cut, -np.inf, scores)


def _kth_highest(scores: Scores, k: int) -> Float[Array, "batch 1"]:
    k = min(k, scores.shape[-1])
    return array_module(scores).partition(scores, scores.shape[-1] - k, axis=-1)[:, -k, None]


def _below(scores: Scores, threshold: Float[Array, "batch 1"]) -> Scores:
    xp = array_module(scores)
    return xp.where(scores < threshold, -np.inf, scores)


def _scatter_cut(scores: Scores, order: Int[Array, "batch vocabulary"], cut: Array) -> Scores:
    xp = array_module(scores)
    unordered = xp.empty_like(cut)
    unordered[xp.arange(len(scores))[:, None], order] = cut
    return xp.where(unordered, -np.inf, scores)
