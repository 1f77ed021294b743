"""The methods of a configuration that transformers' scripts call beside loading and saving."""

from typing import Any

from ovis2_ref.compat.json_settings import JsonSettings
from ovis2_ref.compat.missing import CONFIG


class ConfigNames(JsonSettings):
    """The small methods of transformers' configurations."""

    counterpart, missing, settings_file = "transformers' configurations", CONFIG, "config.json"

    def get_text_config(self, **_: Any) -> Any:
        """Return the language model's configuration."""
        return getattr(self, "text_config", self)
