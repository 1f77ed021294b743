"""What the model's calls return: records with transformers' field names, that can be indexed and unpacked as its own can."""

from dataclasses import dataclass, fields
from typing import Any

from ovis2_ref.runtime.arrays import Array


class _Output:
    """Fields by name (`output.logits`, `output["logits"]`) or by their place among those that are not None (`output[0]`)."""

    def keys(self) -> list[str]:
        """The names of the fields that are not None."""
        return [f.name for f in fields(self) if getattr(self, f.name) is not None]  # type: ignore[arg-type]

    def to_tuple(self) -> tuple[Any, ...]:
        """The values that are not None, in order."""
        return tuple(getattr(self, name) for name in self.keys())

    def __getitem__(self, key: str | int | slice) -> Any:
        return getattr(self, key) if isinstance(key, str) else self.to_tuple()[key]


@dataclass
class ImageFeatures(_Output):
    """What the vision side makes of tiles."""

    last_hidden_state: Array
    """The ViT's features, merged (tiles, tokens, stride^2 * vision hidden)."""
    pooler_output: Array
    """The visual embeddings (tiles, tokens, hidden)."""
    visual_indicator_features: Array
    """The embeddings of the indicators (indicators, hidden)."""


@dataclass
class ModelOutput(_Output):
    """What `Ovis2Model` returns."""

    last_hidden_state: Array
    """(batch, tokens, hidden), after the final norm."""
    past_key_values: Any = None
    """The `KVCache` that went on, None without one."""
    hidden_states: tuple[Array, ...] | None = None
    """The embeddings and each layer's output, the last after the final norm; each (batch, tokens, hidden)."""
    attentions: tuple[Array, ...] | None = None
    """Each layer's attention weights (batch, heads, tokens, past + tokens)."""
    image_hidden_states: Array | None = None
    """The visual embeddings (tiles, tokens, hidden)."""


@dataclass
class CausalLMOutput(_Output):
    """What `Ovis2ForConditionalGeneration` returns: the fields of `ModelOutput`, with logits in place of the last state."""

    loss: Array | None = None
    logits: Array | None = None
    """(batch, tokens, vocabulary)."""
    past_key_values: Any = None
    """The `KVCache` that went on, None without one."""
    hidden_states: tuple[Array, ...] | None = None
    attentions: tuple[Array, ...] | None = None
    image_hidden_states: Array | None = None
