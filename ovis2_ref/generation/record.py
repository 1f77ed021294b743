"""Collect what a call returns of every step: scores, logits, attentions, hidden states."""

from typing import Any

from ovis2_ref.compat.outputs import GenerateOutput
from ovis2_ref.generation.continuation import Continuation
from ovis2_ref.generation.settings import GenerationSettings
from ovis2_ref.runtime.arrays import Array


class Record:
    """Collects what `output_scores`, `output_logits`, `output_attentions` and `output_hidden_states` ask for."""

    def __init__(self, settings: GenerationSettings) -> None:
        """Collect nothing unless `return_dict_in_generate` is set."""
        self.wanted = settings.return_dict_in_generate
        names = ("scores", "logits", "attentions", "hidden_states")
        self.steps: dict[str, list[Any]] = {
            name: [] for name in names if self.wanted and getattr(settings, f"output_{name}")
        }

    def add(self, text: Continuation, scores: Array) -> None:
        """Keep `scores` after all processors, which choose the next token of `text`, and what the model returned."""
        for name, steps in self.steps.items():
            if name in ("scores", "logits"):
                steps.append((scores if name == "scores" else text.scores).copy())
            else:
                steps.append(text.states[name])

    def __getitem__(self, name: str) -> tuple[Any, ...] | None:
        steps = self.steps.get(name)
        return None if steps is None else tuple(steps)

    def result(self, sequences: Array, text: Continuation, **beams: Any) -> Array | GenerateOutput:
        """Return what `generate` returns: the `sequences`, or a record with them and everything collected."""
        if not self.wanted:
            return sequences
        collected = {name: self[name] for name in self.steps}
        return GenerateOutput(sequences, **collected, **beams, past_key_values=text.cache)
