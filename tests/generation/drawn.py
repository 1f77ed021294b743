"""Drawn scores and ids for the tests of this room: ties, -inf, wide and narrow spreads, tokens that recur."""

import numpy as np
import torch
from hypothesis import strategies as st

from tests.strategies import seeds


@st.composite
def scores_and_ids(draw: st.DrawFn, most_tokens: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Scores (rows, vocabulary) in float32 and ids (rows, tokens); every row has a finite score."""
    rng = np.random.default_rng(draw(seeds))
    rows, vocabulary = draw(st.integers(1, 4)), draw(st.integers(2, 30))
    scores = rng.standard_normal((rows, vocabulary)) * draw(st.sampled_from([0.01, 1.0, 5.0, 40.0]))
    if draw(st.booleans()):  # ties
        scores = np.round(scores)
    if draw(st.booleans()):
        scores[rng.random(scores.shape) < draw(st.sampled_from([0.1, 0.6, 1.0]))] = -np.inf
        scores[np.arange(rows), rng.integers(0, vocabulary, rows)] = 1.0
    ids = rng.integers(0, draw(st.integers(1, vocabulary)), (rows, draw(st.integers(0, most_tokens))))
    return scores.astype(np.float32), ids


def apply(processor, ids: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return what a transformers processor makes of arrays."""
    return processor(torch.from_numpy(ids.copy()), torch.from_numpy(scores.copy())).numpy()
