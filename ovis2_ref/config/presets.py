"""The six released sizes of Ovis2 as configurations, from their public model cards (AIDC-AI/Ovis2-1B to Ovis2-34B)."""

from typing import Any, NamedTuple

from ovis2_ref.errors import ConfigError
from ovis2_ref.files.checks import shown


class Vision(NamedTuple):
    """The size of a vision transformer."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int


class Text(NamedTuple):
    """The size of a language model."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    intermediate_size: int
    vocab_size: int
    tie_word_embeddings: bool


AIMV2_LARGE = Vision(1024, 24, 8, 2816)
AIMV2_HUGE = Vision(1536, 24, 12, 4096)
AIMV2_1B = Vision(2048, 24, 16, 5632)

RELEASED = {
    "Ovis2-1B": (AIMV2_LARGE, Text(896, 24, 14, 2, 4864, 151936, True)),
    "Ovis2-2B": (AIMV2_LARGE, Text(1536, 28, 12, 2, 8960, 151936, True)),
    "Ovis2-4B": (AIMV2_HUGE, Text(2048, 36, 16, 2, 11008, 151936, True)),
    "Ovis2-8B": (AIMV2_HUGE, Text(3584, 28, 28, 4, 18944, 152064, False)),
    "Ovis2-16B": (AIMV2_HUGE, Text(5120, 48, 40, 8, 13824, 152064, False)),
    "Ovis2-34B": (AIMV2_1B, Text(5120, 64, 40, 8, 27648, 152064, False)),
}


def released_name(text: str) -> str | None:
    """Return the released size that `text` names in any case, with or without an owner in front; None if it names none.

    >>> released_name("AIDC-AI/ovis2-8b")
    'Ovis2-8B'
    """
    names = {name.lower(): name for name in RELEASED}
    return names.get(text.rpartition("/")[2].lower())


def preset(name: str) -> dict[str, Any]:
    """Return config.json of the size called `name`, in transformers' layout. Raises `ConfigError` for another name."""
    if not isinstance(name, str) or name not in RELEASED:
        raise ConfigError(f"{shown(name)} is not a released size; known are {', '.join(RELEASED)}")
    vision, text = RELEASED[name]
    return {
        "vision_config": {
            **vision._asdict(),
            "image_size": 448,
            "patch_size": 14,
            "hidden_stride": 2,
            "vocab_size": 65536,
        },
        "text_config": {
            **text._asdict(),
            "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0},
            "max_position_embeddings": 32768,
            "eos_token_id": 151645,
            "pad_token_id": 151643,
        },
        "image_token_id": 151665,
        "visual_indicator_token_ids": [151666, 151667, 151668, 151669, 151670],
        "vocab_size": text.vocab_size,
        "hidden_size": text.hidden_size,
        "tie_word_embeddings": text.tie_word_embeddings,
    }
