"""Settings of decoding that a caller keeps, changes and passes to `generate`, and how those of one call follow from them."""

from collections.abc import Mapping
from typing import Any, Self

from ovis2_ref.compat.arguments import active, check_names, given
from ovis2_ref.compat.idle import ASSISTED, GENERATE, UNSUPPORTED
from ovis2_ref.compat.json_settings import JsonSettings
from ovis2_ref.compat.missing import GENERATION_CONFIG
from ovis2_ref.config import Qwen2Config
from ovis2_ref.errors import InputError
from ovis2_ref.files.checks import mapping, shown
from ovis2_ref.files.writing import json_text
from ovis2_ref.generation.settings import DEFAULTS, GenerationSettings

NAMES = frozenset((*DEFAULTS, *UNSUPPORTED, *ASSISTED, *GENERATE))
"""Every option of transformers' `generate`."""

ONLY_IN_CALLS = {"cache_implementation"}
"""Options of how to compute, not what: the checkpoint's file doesn't set them."""
SWITCHED_OFF = DEFAULTS | {"top_k": 0}
"""What None in a call means."""


def merged_settings(
    checkpoint: Mapping[str, Any], call: Mapping[str, Any], config: Mapping[str, Any] | None = None
) -> GenerationSettings:
    """Return the settings of one call: `call` overrides the argument generation_config, `config`, which overrides the
    `checkpoint`'s generation_config.json.

    None in the call switches an option off, None in the checkpoint means the default. So a checkpoint's `repetition_penalty`
    applies to greedy decoding, too. Raises `InputError` for an argument that doesn't exist, for an option that changes the answer
    and isn't supported, and for values that can't be used.
    """
    config = given(active("generation_config", config or {}, GENERATE))
    places = {"the checkpoint's generation_config.json": checkpoint, "generation_config": config, "generate": call}
    for where, values in places.items():
        for name, idle in UNSUPPORTED.items():
            if values.get(name) not in (None, idle):
                raise InputError(f"{where} sets {name}={shown(values[name])}, which is not supported here; take it out")
    call = {name: value for name, value in call.items() if name not in UNSUPPORTED and name not in ASSISTED}
    check_names("generate", call, DEFAULTS)
    merged = {k: v for k, v in checkpoint.items() if k in DEFAULTS and k not in ONLY_IN_CALLS and v is not None}
    merged |= {name: value for name, value in config.items() if name in DEFAULTS}
    merged |= {name: SWITCHED_OFF[name] if value is None else value for name, value in call.items()}
    return GenerationSettings(**merged)


class GenerationConfig(dict[str, Any], JsonSettings):
    """transformers' `GenerationConfig`: every option of `generate` is an attribute, None where it isn't set.

    It is a dictionary of the set options, like generation_config.json. `generate` checks the values.
    """

    counterpart, missing = "transformers' GenerationConfig", GENERATION_CONFIG
    settings_file = "generation_config.json"

    def __init__(self, values: Mapping[str, Any] | None = None, **options: Any) -> None:
        """Set `options`. Raises `InputError` for one that `generate` doesn't know; `values`, from a file, may hold others."""
        check_names("GenerationConfig", options, NAMES)
        super().__init__({**mapping("the values of a GenerationConfig", values), **options})

    def __getattr__(self, name: str) -> Any:
        if name in self or name in NAMES:
            return self.get(name)
        return super().__getattr__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        check_names("GenerationConfig", (name,), NAMES | set(self))
        self[name] = value

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], **options: Any) -> Self:
        """Return the settings in a dictionary, changed by `options`."""
        return cls(values, **options)

    @classmethod
    def from_model_config(cls, config: Any) -> Self:
        """Return the end and pad tokens of a model's configuration."""
        text = getattr(config, "text_config", config)
        if not isinstance(text, Qwen2Config):
            raise InputError(f"{shown(config)} should be a model's configuration")
        return cls(eos_token_id=text.eos_token_id, pad_token_id=text.pad_token_id)

    def update(self, **options: Any) -> dict[str, Any]:  # type: ignore[override]
        """Set those of `options` that are settings, and return the others."""
        super().update({name: value for name, value in options.items() if name in NAMES})
        return {name: value for name, value in options.items() if name not in NAMES}

    def validate(self, strict: bool = False) -> None:
        """Raise `InputError` for a value that can't be used."""
        merged_settings({}, {}, self)

    def to_dict(self) -> dict[str, Any]:
        """Return the set options."""
        return dict(self)

    def to_json_string(self, use_diff: bool = True, ignore_metadata: bool = False) -> str:
        """Return the set options as JSON, `sequence_bias` as a list of pairs."""
        biases = self.sequence_bias
        pairs = [[list(tokens), bias] for tokens, bias in biases.items()] if isinstance(biases, dict) else biases
        return json_text({**self, **({} if biases is None else {"sequence_bias": pairs})})

    def __repr__(self) -> str:
        return f"GenerationConfig {self.to_json_string()}"
