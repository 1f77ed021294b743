"""What a call decodes with: everything but the text itself."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from ovis2_ref.generation.continuation import Continuation
from ovis2_ref.generation.randomness import Generator
from ovis2_ref.generation.scores import Processor, process_scores
from ovis2_ref.generation.settings import GenerationSettings
from ovis2_ref.generation.steps import KeptSteps
from ovis2_ref.generation.stopping import Criterion
from ovis2_ref.runtime.arrays import Array


@runtime_checkable
class Streamer(Protocol):
    """Receives the tokens as they are made. transformers' streamers have this form."""

    def put(self, ids: np.ndarray) -> None:
        """Take the prompts (batch, tokens) first, then the new tokens (batch) of each step."""

    def end(self) -> None:
        """Take note of the end."""


@dataclass(frozen=True)
class Decoding:
    """What the loops of sampling and beam search need beside the text."""

    settings: GenerationSettings
    new_tokens: int
    """How many are made at most."""
    processors: Sequence[Processor] = ()
    first: int = 0
    """The processors see the tokens from this one on."""
    generator: Generator | None = None
    """Draws tokens; None takes the best."""
    stopping: Sequence[Criterion] = ()
    streamer: Streamer | None = None
    kept: KeptSteps = field(default_factory=KeptSteps)
    """What the call returns of every step."""

    def processed(self, text: Continuation, scores: Float[Array, "rows vocabulary"]) -> Float[Array, "rows vocabulary"]:
        """Return the `scores` of the next token after all processors, and keep what the call returns of this step."""
        scores = process_scores(self.processors, text.ids[:, self.first :], scores)
        self.kept.add(text, scores)
        return scores
