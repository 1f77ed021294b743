"""The methods of a configuration that transformers' scripts call: loading, saving, JSON."""

import json
from pathlib import Path
from typing import Any, Self

from ovis2_ref.compat.arguments import active, check_names
from ovis2_ref.compat.hub import checkpoint_folder
from ovis2_ref.compat.idle import PROCESSOR_LOADING, SAVING
from ovis2_ref.compat.missing import CONFIG, Counterpart
from ovis2_ref.files.reading import read_json


class ConfigNames(Counterpart):
    """The small methods of transformers' configurations."""

    counterpart, missing = "transformers' configurations", CONFIG

    @classmethod
    def from_pretrained(cls, folder: str | Path, **options: Any) -> Self:
        """Return the configuration in `folder`/config.json, with `options` in place of its fields.

        Raises `CheckpointError` if there is none, `ConfigError` if it can't work.
        """
        options = active("from_pretrained", options, PROCESSOR_LOADING)
        root = checkpoint_folder(folder, options.pop("cache_dir", None), options.pop("revision", None))
        values = read_json(root, "config.json")
        return cls.from_dict({**values, **options})  # type: ignore[attr-defined]

    def save_pretrained(self, folder: str | Path, **options: Any) -> None:
        """Write config.json."""
        check_names("save_pretrained", active("save_pretrained", options, SAVING), ())
        Path(folder).mkdir(parents=True, exist_ok=True)
        self.to_json_file(Path(folder) / "config.json")

    def to_diff_dict(self) -> dict[str, Any]:
        """Return the same as `to_dict`."""
        return self.to_dict()  # type: ignore[attr-defined]

    def to_json_string(self, use_diff: bool = True) -> str:
        """Return the configuration as JSON."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"  # type: ignore[attr-defined]

    def to_json_file(self, json_file_path: str | Path, use_diff: bool = True) -> None:
        """Write the configuration as JSON."""
        Path(json_file_path).write_text(self.to_json_string(), encoding="utf-8")

    def get_text_config(self, **_: Any) -> Any:
        """Return the language model's configuration."""
        return getattr(self, "text_config", self)
