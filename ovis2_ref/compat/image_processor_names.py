"""The methods of an image processor that transformers' scripts call: loading, saving, its settings as a dictionary."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from ovis2_ref.compat.json_settings import JsonSettings, located
from ovis2_ref.compat.missing import IMAGE_PROCESSOR
from ovis2_ref.convention import TRANSFORMERS, Convention
from ovis2_ref.errors import CheckpointError, InputError
from ovis2_ref.image.loading import load_image
from ovis2_ref.image.operations import PictureOperations, center_crop
from ovis2_ref.image.options import image_settings, size_dict
from ovis2_ref.image.pictures import as_picture


class ImageProcessorNames(JsonSettings):
    """The attributes and small methods of transformers' image processors."""

    counterpart, missing = "transformers' Ovis2ImageProcessor", IMAGE_PROCESSOR
    settings_file = "preprocessor_config.json"
    operations: ClassVar[PictureOperations]
    model_input_names: ClassVar[list[str]] = ["pixel_values"]

    @classmethod
    def from_pretrained(cls, folder: str | Path, convention: str | Convention = TRANSFORMERS, **options: Any) -> Self:  # type: ignore[override]
        """Load the image processor in `folder`, with `options` in place of its settings.

        Raises `CheckpointError` for files that are missing, damaged or hostile, `InputError` for options that can't be used.
        """
        root, options = located(folder, options)
        return cls.of_file(image_settings(root), root, convention).changed(options)  # type: ignore[attr-defined]

    @classmethod
    def of_file(cls, settings: Mapping[str, Any], root: Path, convention: str | Convention) -> Self:
        """Return the processor of the `settings` that a file in `root` holds. Raises `CheckpointError` if they can't be used."""
        try:
            return cls.from_dict(settings, convention)  # type: ignore[attr-defined]
        except InputError as error:
            raise CheckpointError(f"{root}: the image processor's settings can't be used: {error}") from error

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
        return center_crop(as_picture(image, False, None, None), (size["height"], size["width"]), self.operations)

    def _values(self, image: Any, scale: float | None, mean: Any, std: Any) -> np.ndarray:
        return self.operations.values(as_picture(image, False, None, None), scale, mean, std)

    def fetch_images(self, images: Any) -> Any:
        """Return the pictures in the named files, or in lists of names; pictures pass through."""
        return (
            [self.fetch_images(image) for image in images] if isinstance(images, list | tuple) else load_image(images)
        )
