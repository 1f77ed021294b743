"""Settings that live in a JSON file of a checkpoint: the methods that transformers' classes have for loading and saving them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from ovis2_ref.compat.arguments import active, check_names
from ovis2_ref.compat.hub import checkpoint_folder
from ovis2_ref.compat.idle import PROCESSOR_LOADING, SAVING
from ovis2_ref.compat.missing import Counterpart
from ovis2_ref.errors import CheckpointError, InputError
from ovis2_ref.files.checks import shown
from ovis2_ref.files.reading import read_json
from ovis2_ref.files.writing import json_text, replacing_files, write_text


def located(folder: Any, options: Mapping[str, Any]) -> tuple[Path, dict[str, Any]]:
    """Return the checkpoint folder that a `from_pretrained` names, and those of its `options` that change something there.

    Raises `CheckpointError` if there is no such folder, `InputError` for an option that isn't supported.
    """
    options = active("from_pretrained", options, PROCESSOR_LOADING)
    options.pop("use_fast", None)  # the class says which
    return checkpoint_folder(folder, options.pop("cache_dir", None), options.pop("revision", None)), options


def check_saving(options: Mapping[str, Any]) -> None:
    """Raise `InputError` for an option of `save_pretrained` that would change something."""
    check_names("save_pretrained", active("save_pretrained", options, SAVING), ())


class JsonText(Counterpart):
    """A class with `to_dict`."""

    def to_diff_dict(self) -> dict[str, Any]:
        """Return the same as `to_dict`."""
        return self.to_dict()  # type: ignore[attr-defined]

    def to_json_string(self, use_diff: bool = True, ignore_metadata: bool = False) -> str:
        """Return the settings as JSON."""
        return json_text(self.to_dict())  # type: ignore[attr-defined]

    def to_json_file(self, json_file_path: str | Path, use_diff: bool = True) -> None:
        """Write the settings as JSON."""
        write_text(json_file_path, self.to_json_string(), InputError)


class JsonSettings(JsonText):
    """A class with `to_dict` and `from_dict`, and a file of settings called `settings_file`."""

    settings_file: ClassVar[str]

    @classmethod
    def from_pretrained(cls, folder: str | Path, **options: Any) -> Self:
        """Return the settings in `folder`, with `options` in place of those of the file.

        Raises `CheckpointError` for a file that is missing or damaged, and an error of ours for settings that can't be used.
        """
        root, options = located(folder, options)
        return cls.from_dict({**read_json(root, cls.settings_file), **options})  # type: ignore[attr-defined]

    @classmethod
    def from_json_file(cls, json_file: str | Path) -> Self:
        """Return the settings in a JSON file."""
        if not isinstance(json_file, str | Path):
            raise CheckpointError(f"{shown(json_file)} is not the name of a file")
        return cls.from_dict(read_json(Path(json_file).parent, Path(json_file).name))  # type: ignore[attr-defined]

    def save_pretrained(self, folder: str | Path, **options: Any) -> None:
        """Write the settings' file, which transformers loads."""
        check_saving(options)
        with replacing_files(folder, InputError) as files:
            self.to_json_file(files / self.settings_file)
