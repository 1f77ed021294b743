"""The methods of a generating model beside its forward pass."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from ovis2_ref.compat.randomness import TorchGenerator
from ovis2_ref.compat.tensors import has_tensors, with_tensors
from ovis2_ref.errors import InputError
from ovis2_ref.files.checks import check_flags, shown
from ovis2_ref.generation import generate
from ovis2_ref.generation.config import GenerationConfig
from ovis2_ref.generation.steps import transition_scores
from ovis2_ref.model_arguments import checked_array
from ovis2_ref.runtime.arrays import Array, array_module
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
        """Return the score of each token of an answer, see `generation.steps.transition_scores`."""
        check_flags(normalize_logits=normalize_logits)
        return transition_scores(*_of_one_answer(sequences, scores, beam_indices), bool(normalize_logits))


def _of_one_answer(sequences: Any, scores: Any, beams: Any) -> tuple[Array, list[Array], Array | None]:
    """Return the arguments of `compute_transition_scores` as arrays. Raises `InputError` unless they fit each other."""
    xp = array_module(sequences)
    sequences, beams = checked_array("sequences", sequences, xp), checked_array("beam_indices", beams, xp)
    listed = list(scores) if isinstance(scores, list | tuple) else []
    steps = [checked_array("scores", one, xp) for one in listed]
    fits = sequences is not None and bool(steps) and len({np.shape(step) for step in steps}) == 1
    if fits and steps[0] is not None:
        rows, vocabulary = steps[0].shape
        columns = len(steps) if beams is None else beams.shape[1]
        origins = xp.arange(len(sequences))[:, None] if beams is None else beams
        fits = len(origins) == len(sequences) and 0 < columns <= min(len(steps), sequences.shape[1])
        fits = fits and int(origins.max()) < rows and int(sequences[:, -columns:].max()) < vocabulary
    if not fits or steps[0] is None:
        raise InputError(
            "compute_transition_scores takes sequences, scores and beam_indices as one call of generate returns them with "
            f"return_dict_in_generate and output_scores, not {shown(sequences)}, {shown(scores)} and {shown(beams)}"
        )
    return sequences, steps, beams
