"""The methods of a generating model beside its forward pass."""

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float

from ovis2_ref.compat.randomness import TorchGenerator
from ovis2_ref.compat.tensors import has_tensors, with_tensors
from ovis2_ref.errors import InputError
from ovis2_ref.generation import generate
from ovis2_ref.generation.config import GenerationConfig
from ovis2_ref.generation.transitions import transition_scores
from ovis2_ref.runtime.arrays import Array
from ovis2_ref.runtime.engine import engaged


class GenerativeModel:
    """The methods of transformers' `GenerationMixin` that are here."""

    parameter_prefix = ""

    @property
    def generation_config(self) -> GenerationConfig:
        """The default settings of `generate`. The property and its attributes can be set."""
        return self._generation_config

    @generation_config.setter
    def generation_config(self, settings: Mapping[str, Any]) -> None:
        self._generation_config = GenerationConfig(settings)

    @engaged
    def generate(self, inputs: Array | None = None, **options: Any) -> Any:
        """Return the ids of prompt and answer; see `ovis2_ref.generation.generate` for the options.

        A caller who gives tensors gets tensors, and sampling draws by torch's random numbers.
        """
        ids = options.pop("input_ids", inputs)
        if ids is not inputs and inputs is not None:
            raise InputError("generate was given inputs and input_ids; give one of them")
        if has_tensors((ids, options)):
            options.setdefault("generator", TorchGenerator())
        return with_tensors(generate)(self, ids, **options)

    @with_tensors
    def compute_transition_scores(
        self, sequences: Array, scores: Any, beam_indices: Array | None = None, normalize_logits: bool = False
    ) -> Float[Array, "rows steps"]:
        """Return the score of each token of an answer, see `generation.transitions.transition_scores`."""
        return transition_scores(sequences, scores, beam_indices, normalize_logits)
