"""The outputs of the model's calls: records with transformers' field names that also work as dictionaries and tuples."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from ovis2_ref.compat.missing import OUTPUT, Counterpart
from ovis2_ref.runtime.arrays import Array

RENAMED = {"cache": "past_key_values"}
"""transformers 5.24's names of fields, and the names here, which are those of 4.56 to 5.23."""


class Output(Mapping[str, Any], Counterpart):
    """Fields by name (`output.logits`, `output["logits"]`) or by number among those that are not None (`output[0]`).

    Iterating gives the names of the fields that are not None, as in transformers' `ModelOutput`.
    """

    def __iter__(self) -> Iterator[str]:
        return (f.name for f in fields(self) if getattr(self, f.name) is not None)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def keys(self) -> list[str]:  # type: ignore[override]
        """Return the names of the fields that are not None."""
        return list(self)

    def to_tuple(self) -> tuple[Any, ...]:
        """Return the values that are not None, in order."""
        return tuple(self.values())

    def __getitem__(self, key: str | int | slice) -> Any:  # type: ignore[override]
        if not isinstance(key, str):
            return self.to_tuple()[key]
        key = RENAMED.get(key, key)
        if key not in list(self):
            raise KeyError(key)
        return getattr(self, key)

    counterpart, missing = "transformers' outputs", OUTPUT

    @property
    def cache_params(self) -> Any:
        """`past_key_values` under another old name."""
        return self.cache

    @property
    def cache(self) -> Any:
        """`past_key_values` under transformers 5.24's name."""
        return self.get("past_key_values")


@dataclass(eq=False)
class ImageFeatures(Output):
    """The output of `get_image_features`."""

    last_hidden_state: Array
    """The ViT's features, merged (tiles, tokens, stride^2 * vision hidden)."""
    pooler_output: Array
    """The visual embeddings (tiles, tokens, hidden)."""
    visual_indicator_features: Array
    """The embeddings of the indicators (indicators, hidden)."""


@dataclass(eq=False)
class ModelOutput(Output):
    """The output of `Ovis2Model`."""

    last_hidden_state: Array
    """(batch, tokens, hidden), after the final norm."""
    past_key_values: Any = None
    """The `KVCache` to continue from, None without one."""
    hidden_states: tuple[Array, ...] | None = None
    """The embeddings and each layer's output, the last after the final norm; each (batch, tokens, hidden)."""
    attentions: tuple[Array, ...] | None = None
    """Each layer's attention weights (batch, heads, tokens, past + tokens)."""
    image_hidden_states: Array | None = None
    """The visual embeddings (tiles, tokens, hidden)."""


@dataclass(eq=False)
class CausalLMOutput(Output):
    """The output of `Ovis2ForConditionalGeneration`: the fields of `ModelOutput`, with logits in place of the last state."""

    loss: Array | None = None
    logits: Array | None = None
    """(batch, tokens, vocabulary)."""
    past_key_values: Any = None
    """The `KVCache` to continue from, None without one."""
    hidden_states: tuple[Array, ...] | None = None
    attentions: tuple[Array, ...] | None = None
    image_hidden_states: Array | None = None


@dataclass(eq=False)
class GenerateOutput(Output):
    """The output of `generate` with `return_dict_in_generate=True`. One entry of a tuple is one step."""

    sequences: Array
    """The ids of prompts and answers (rows, tokens)."""
    sequences_scores: Array | None = None
    """The score of each returned beam (rows,)."""
    scores: tuple[Array, ...] | None = None
    """The scores that tokens were chosen by: the logits after all processors, each (rows, vocabulary)."""
    logits: tuple[Array, ...] | None = None
    """The model's own logits, each (rows, vocabulary)."""
    beam_indices: Array | None = None
    """The beam that each token was made from (rows, new tokens), -1 after the end."""
    attentions: tuple[tuple[Array, ...], ...] | None = None
    hidden_states: tuple[tuple[Array, ...], ...] | None = None
    past_key_values: Any = None
