"""Collect what a call returns of every step (scores, logits, attentions, hidden states), and look up the scores of its tokens."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ovis2_ref.generation.continuation import Continuation
from ovis2_ref.generation.processors import log_softmax
from ovis2_ref.runtime.arrays import Array, array_module


class KeptSteps:
    """Collects values of every step: "scores", "logits", "attentions", "hidden_states"."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        """Collect the values called `names`."""
        self.values: dict[str, list[Any]] = {name: [] for name in names}

    def add(self, text: Continuation, scores: Array) -> None:
        """Keep `scores` after all processors, which choose the next token of `text`, and what the model returned."""
        for name, steps in self.values.items():
            if name in ("scores", "logits"):
                steps.append((scores if name == "scores" else text.scores).copy())
            else:
                steps.append(text.states[name])

    def __getitem__(self, name: str) -> tuple[Any, ...] | None:
        steps = self.values.get(name)
        return None if steps is None else tuple(steps)


def transition_scores(
    sequences: Int[Array, "rows tokens"],
    scores: Sequence[Float[Array, "_ vocabulary"]],
    beam_indices: Int[Array, "rows _"] | None = None,
    normalize_logits: bool = False,
) -> Float[Array, "rows steps"]:
    """Return s[row, t] = scores[t][beam(row, t), token(row, t)], and 0 after the end of a beam.

    beam_indices: the row of `scores` that each token was made from; without them its own. normalize_logits: scores become
    log-probabilities first. transformers' `compute_transition_scores`.
    """
    xp = array_module(sequences)
    rows, steps = len(sequences), len(scores)
    if beam_indices is None:
        beam_indices = xp.broadcast_to(xp.arange(rows)[:, None], (rows, steps))
    steps = int((beam_indices >= 0).sum(axis=1).max())
    beams, tokens = xp.asarray(beam_indices)[:, :steps], sequences[:, sequences.shape[1] - steps :]
    chosen = []
    for step in range(steps):
        values = log_softmax(scores[step]) if normalize_logits else scores[step]
        chosen.append(xp.where(beams[:, step] < 0, np.float32(0), values[beams[:, step], tokens[:, step]]))
    return xp.stack(chosen, axis=1)
