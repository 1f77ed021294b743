"""`GenerationConfig`: settings of decoding that a caller keeps, changes and passes to `generate`."""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Self

from ovis2_ref.compat.arguments import active, check_names
from ovis2_ref.compat.decoding import ASSISTED, UNSUPPORTED
from ovis2_ref.compat.hub import checkpoint_folder
from ovis2_ref.compat.idle import GENERATE, PROCESSOR_LOADING, SAVING
from ovis2_ref.compat.missing import GENERATION_CONFIG, missing_feature
from ovis2_ref.errors import MissingFeatureError
from ovis2_ref.files.reading import read_json
from ovis2_ref.generation.settings import GenerationSettings

NAMES = frozenset((*(f.name for f in fields(GenerationSettings)), *UNSUPPORTED, *ASSISTED, *GENERATE))


class GenerationConfig(dict[str, Any]):
    """transformers' `GenerationConfig`: every option of `generate` is an attribute, None where it isn't set.

    It is a dictionary of the set options, like generation_config.json. `generate` checks the values.
    """

    def __init__(self, values: Mapping[str, Any] | None = None, **options: Any) -> None:
        """Set `options`. Raises `InputError` for one that `generate` doesn't know; `values`, from a file, may hold others."""
        check_names("GenerationConfig", options, NAMES)
        super().__init__({**(values or {}), **options})

    def __getattr__(self, name: str) -> Any:
        if name in self or name in NAMES:
            return self.get(name)
        raise MissingFeatureError(
            missing_feature("GenerationConfig", name, "transformers' GenerationConfig", GENERATION_CONFIG)
        )

    def __setattr__(self, name: str, value: Any) -> None:
        check_names("GenerationConfig", (name,), NAMES | set(self))
        self[name] = value

    @classmethod
    def from_pretrained(cls, folder: str | Path, **options: Any) -> Self:
        """Return the settings of generation_config.json in `folder`, changed by `options`."""
        options = active("from_pretrained", options, PROCESSOR_LOADING)
        root = checkpoint_folder(folder, options.pop("cache_dir", None), options.pop("revision", None))
        return cls(read_json(root, "generation_config.json"), **options)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], **options: Any) -> Self:
        """Return the settings in a dictionary, changed by `options`."""
        return cls(values, **options)

    @classmethod
    def from_model_config(cls, config: Any) -> Self:
        """Return the end and pad tokens of a model's configuration."""
        text = getattr(config, "text_config", config)
        return cls(eos_token_id=text.eos_token_id, pad_token_id=text.pad_token_id)

    def save_pretrained(self, folder: str | Path, **options: Any) -> None:
        """Write generation_config.json."""
        check_names("save_pretrained", active("save_pretrained", options, SAVING), ())
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / "generation_config.json").write_text(self.to_json_string(), encoding="utf-8")

    def update(self, **options: Any) -> dict[str, Any]:  # type: ignore[override]
        """Set those of `options` that are settings, and return the others."""
        super().update({name: value for name, value in options.items() if name in NAMES})
        return {name: value for name, value in options.items() if name not in NAMES}

    def validate(self, strict: bool = False) -> None:
        """Raise `InputError` for a value that can't be used."""
        GenerationSettings.merge({}, {}, self)

    def to_dict(self) -> dict[str, Any]:
        """Return the set options."""
        return dict(self)

    def to_diff_dict(self) -> dict[str, Any]:
        """Return the set options."""
        return dict(self)

    def to_json_string(self, use_diff: bool = True, ignore_metadata: bool = False) -> str:
        """Return the set options as JSON."""
        return json.dumps(dict(self), indent=2, sort_keys=True, default=str) + "\n"

    def __repr__(self) -> str:
        return f"GenerationConfig {self.to_json_string()}"
