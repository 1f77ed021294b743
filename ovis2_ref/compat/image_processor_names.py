"""The methods of an image processor that transformers' scripts call: loading, saving, its settings as a dictionary."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from ovis2_ref.compat.arguments import active, check_names, given
from ovis2_ref.compat.hub import checkpoint_folder
from ovis2_ref.compat.idle import PROCESSOR_LOADING, SAVING
from ovis2_ref.compat.missing import IMAGE_PROCESSOR, Counterpart
from ovis2_ref.convention import TRANSFORMERS, Convention
from ovis2_ref.errors import CheckpointError, InputError
from ovis2_ref.files.reading import JSON_LIMIT, has_file, parse_json, read_json
from ovis2_ref.files.writing import json_text, replacing_files, write_text
from ovis2_ref.image.arithmetic import Arithmetic, center_crop
from ovis2_ref.image.loading import load_image
from ovis2_ref.image.options import size_dict
from ovis2_ref.image.pictures import as_picture


class ImageProcessorNames(Counterpart):
    """The attributes and small methods of transformers' image processors."""

    counterpart, missing = "transformers' Ovis2ImageProcessor", IMAGE_PROCESSOR
    arithmetic: ClassVar[Arithmetic]
    model_input_names: ClassVar[list[str]] = ["pixel_values"]

    @classmethod
    def from_pretrained(cls, folder: str | Path, convention: str | Convention = TRANSFORMERS, **options: Any) -> Self:
        """Load the image processor in `folder`, with `options` in place of its settings.

        Raises `CheckpointError` for files that are missing, damaged or hostile, `InputError` for options that can't be used.
        """
        options = given(active("from_pretrained", options, PROCESSOR_LOADING))
        options.pop("use_fast", None)  # the class says which
        root = checkpoint_folder(folder, options.pop("cache_dir", None), options.pop("revision", None))
        settings = read_json(root, "processor_config.json") if has_file(root, "processor_config.json") else {}
        values = settings.get("image_processor")
        if values is None:
            values = read_json(root, "preprocessor_config.json")
        if not isinstance(values, Mapping):
            raise CheckpointError(f"{root}: image_processor should be an object, not {values!r:.200}")
        try:
            return cls.from_dict(values, convention).changed(options)  # type: ignore[attr-defined]
        except InputError as error:
            raise CheckpointError(f"{root}: the image processor's settings can't be used: {error}") from error

    @classmethod
    def from_json_file(cls, json_file: str | Path) -> Self:
        """Return the image processor whose settings are in a JSON file."""
        try:
            content = Path(json_file).read_bytes()[:JSON_LIMIT]
        except OSError as error:
            raise CheckpointError(f"{json_file} can't be read ({error.strerror})") from error
        return cls.from_dict(parse_json(content, str(json_file)))  # type: ignore[attr-defined]

    def save_pretrained(self, folder: str | Path, **options: Any) -> None:
        """Write preprocessor_config.json, which transformers loads."""
        check_names("save_pretrained", active("save_pretrained", options, SAVING), ())
        with replacing_files(folder, InputError) as files:
            self.to_json_file(files / "preprocessor_config.json")

    def to_json_string(self) -> str:
        """Return the settings as JSON."""
        return json_text(self.to_dict())  # type: ignore[attr-defined]

    def to_json_file(self, json_file_path: str | Path) -> None:
        """Write the settings as JSON."""
        write_text(Path(json_file_path), self.to_json_string(), InputError)

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"

    @property
    def image_processor_type(self) -> str:
        """The name of the class."""
        return type(self).__name__

    def rescale(self, image: Any, scale: float, **_: Any) -> np.ndarray:
        """Return a picture times `scale`, channels first."""
        return self._values(image, scale, None, None)

    def normalize(self, image: Any, mean: Any, std: Any, **_: Any) -> np.ndarray:
        """Return (picture - mean) / std, channels first."""
        return self._values(image, None, mean, std)

    def center_crop(self, image: Any, size: Any, **_: Any) -> np.ndarray:
        """Return the middle `size` (height, width) of a picture, channels first, with zeros where the picture is smaller."""
        size = size_dict("size", size)
        return center_crop(as_picture(image, False, None, None), (size["height"], size["width"]), self.arithmetic)

    def _values(self, image: Any, scale: float | None, mean: Any, std: Any) -> np.ndarray:
        return self.arithmetic.values(as_picture(image, False, None, None), scale, mean, std)

    def fetch_images(self, images: Any) -> Any:
        """Return the pictures in the named files, or in lists of names; pictures pass through."""
        return (
            [self.fetch_images(image) for image in images] if isinstance(images, list | tuple) else load_image(images)
        )
