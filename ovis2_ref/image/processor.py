"""Make the model's tiles from pictures: transformers' two Ovis2 image processors, and the authors' under convention "original".

picture -> (3, h, w) levels -> resized and cut into tiles, a thumbnail first -> rescaled, normalised -> (tiles, 3, S, S)
"""

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any, ClassVar, Self

import numpy as np

from ovis2_ref.compat.arguments import active, check_names, given
from ovis2_ref.compat.batch_feature import BatchFeature, check_return_tensors
from ovis2_ref.compat.idle import IMAGE_OPTIONS
from ovis2_ref.compat.image_processor_names import ImageProcessorNames
from ovis2_ref.convention import TRANSFORMERS, Convention, as_convention
from ovis2_ref.errors import InputError
from ovis2_ref.files.checks import mapping
from ovis2_ref.image.cutting import Tiles, cut, cut_canvas, resized
from ovis2_ref.image.limits import pixels_allowed
from ovis2_ref.image.operations import PILLOW, TORCH, PictureOperations
from ovis2_ref.image.options import ImageOptions, output_size
from ovis2_ref.image.pictures import Picture, as_picture, flat_pictures, height_width
from ovis2_ref.image.values import every_level, look_up, middle_slice, unscaled
from ovis2_ref.runtime.taps import tap

OPTIONS = frozenset(option.name for option in fields(ImageOptions))


class Ovis2ImageProcessor(ImageOptions, ImageProcessorNames):
    """transformers' Pillow image processor (5.x: `Ovis2ImageProcessorPil`, 4.56: `Ovis2ImageProcessor`), to the bit.

    The options are `ImageOptions`; any of them can be given when it is made, and to `preprocess` for one call; None means the
    default. Under convention "original" it does what the authors' `preprocess_image` does, `max_patches` being `max_partition`.
    """

    operations: ClassVar[PictureOperations] = PILLOW

    def __init__(self, convention: str | Convention = TRANSFORMERS, **options: Any) -> None:
        """Set options. Raises `InputError` for an unknown one, or a value that can't be used."""
        self.convention = as_convention(convention)
        if self.convention.crop_before_resize:
            options = {"crop_to_patches": True, "max_patches": self.convention.max_tiles} | _given(options)
        super().__init__(**_given(options))
        if self.convention.crop_before_resize:
            self.check_original()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], convention: str | Convention = TRANSFORMERS) -> Self:
        """Return the processor of a preprocessor_config.json, or of the image processor's part of a processor_config.json.

        Entries that are no options (`image_processor_type`, ...) are ignored.
        """
        values = mapping("an image processor's settings", values)
        return cls(convention, **{key: value for key, value in values.items() if key in OPTIONS - {"max_pixels"}})

    def to_dict(self) -> dict[str, Any]:
        """Return the options as transformers writes them into preprocessor_config.json, and reads them from it."""
        options = {key: value for key, value in asdict(self).items() if value is not None}
        del options["max_pixels"]
        options |= {key: list(value) for key, value in options.items() if isinstance(value, tuple)}
        return options | {"image_processor_type": type(self).__name__}

    def __call__(self, images: Any, **options: Any) -> BatchFeature:
        """Return the same as `preprocess`."""
        return self.preprocess(images, **options)

    def preprocess(self, images: Any, return_tensors: Any = None, **options: Any) -> BatchFeature:
        """Return the tiles of `images` (a picture or several: see `flat_pictures` and `as_picture`), with `options` for this
        call.

        The result has `pixel_values` (tiles, channels, height, width), the tiles of all pictures one after another, float32
        unless nothing is computed, and `grids` (pictures, 2) int64, each (rows, columns): as arrays with return_tensors="np",
        as tensors with "pt", as lists with None. A picture whose grid is not (1, 1) has one more tile, itself as a thumbnail,
        first.
        """
        kind = check_return_tensors(return_tensors)
        call = self.changed(options)
        on_white = self.operations.on_white if self.convention.transparency_on_white else None
        with pixels_allowed(call.max_pixels):
            pictures = [
                as_picture(image, call.do_convert_rgb, call.input_data_format, on_white)
                for image in flat_pictures(images)
            ]
            if not pictures:
                raise InputError("there is no picture in images")
            parts = [cut(picture, call, self.operations, call.convention) for picture in pictures]
        values = call._pixel_values(parts)
        if isinstance(values, np.ndarray):
            tap("pixel_values", values)
        if call.data_format == "channels_last":
            values = [np.moveaxis(tile, 0, -1) for tile in values]
        grids = [list(part.grid) for part in parts]
        if kind is None:
            return BatchFeature(pixel_values=list(values), grids=grids)
        if len({tile.shape for tile in values}) > 1:
            raise InputError(
                f"tiles of different sizes {sorted({tile.shape for tile in values})} don't make one array: use "
                "return_tensors=None, or a size of height and width"
            )
        tiles = BatchFeature(pixel_values=np.asarray(values), grids=np.array(grids, dtype=np.int64))
        return tiles.convert_to_tensors(kind)

    def resize(self, image: Any, size: Any, resample: int | None = None) -> np.ndarray:
        """Return a picture resized, channels first; `resample` None means bilinear, as in transformers."""
        call = self.changed({"size": size, "resample": 2 if resample is None else resample})
        picture = as_picture(image, False, call.input_data_format, None)
        levels, scaled = resized(picture, output_size(*height_width(picture), call.size), call, self.operations)
        return unscaled(levels) if scaled else levels

    def crop_image_to_patches(
        self,
        image: Any,
        min_patches: int,
        max_patches: int,
        use_covering_area_grid: bool = True,
        covering_threshold: float = 0.9,
        patch_size: Any = None,
        resample: int | None = None,
    ) -> tuple[list[Picture], list[int]]:
        """Return a picture's tiles, neither rescaled nor normalised, and its grid [rows, columns]; `resample` as in `resize`."""
        call = self.changed(
            {
                "min_patches": min_patches,
                "max_patches": max_patches,
                "use_covering_area_grid": use_covering_area_grid,
                "covering_threshold": covering_threshold,
                "size": patch_size,
                "resample": 2 if resample is None else resample,
            }
        )
        picture = as_picture(image, False, call.input_data_format, None)
        part = cut_canvas(picture, call, self.operations, self.convention.transposed_grid)
        return [unscaled(tile) if part.scaled else tile for tile in part.tiles], list(part.grid)

    def changed(self, options: Mapping[str, Any]) -> Self:
        """Return a processor with this one's settings, changed by `options`. Raises `InputError` for an unknown one."""
        changes = {**_given(options), "convention": self.convention}
        return replace(self, **changes)

    def _pixel_values(self, parts: list[Tiles]) -> np.ndarray | list[np.ndarray]:
        """Return the values of every tile of every picture: one array if they are of one size, else a list."""
        tiles = [(tile, part.scaled) for part in parts for tile in part.tiles]
        shapes = [self._padded_shape(tile) for tile, _ in tiles]
        dtype = np.result_type(*(self._finish(tile[:, :1, :1], scaled) for tile, scaled in tiles))
        one_size = len(set(shapes)) == 1
        values = np.zeros((len(tiles), *shapes[0]), dtype) if one_size else [np.zeros(shape, dtype) for shape in shapes]
        # Only the authors' tiles can be smaller than their shape: they are padded with 0 after normalising.
        tables = {(len(tile), scaled): self._finish(every_level(len(tile)), scaled) for tile, scaled in tiles}
        for (tile, scaled), whole in zip(tiles, values, strict=True):
            middle = whole[(slice(None), *map(middle_slice, whole.shape[1:], tile.shape[1:]))]
            if tile.dtype == np.uint8:
                look_up(tile, tables[len(tile), scaled], middle)
            else:
                middle[...] = self._finish(tile, scaled)
        return values

    def _padded_shape(self, tile: Picture) -> tuple[int, ...]:
        if not self.convention.crop_before_resize:
            return tile.shape
        return len(tile), self.original_side, self.original_side

    def _finish(self, picture: Picture, scaled: bool) -> Picture:
        return self.operations.values(
            unscaled(picture) if scaled else picture,
            self.rescale_factor if self.do_rescale else None,
            self.image_mean if self.do_normalize else None,
            self.image_std if self.do_normalize else None,
        )


class Ovis2ImageProcessorFast(Ovis2ImageProcessor):
    """transformers' torch image processor (5.x: `Ovis2ImageProcessor`, 4.56: `Ovis2ImageProcessorFast`) on a CPU.

    Same options; it resizes by torch's filters (nearest, bilinear, bicubic, lanczos), bytes to the bit and floats as floats, and
    rescales and normalises in one step. Its pixel values and the Pillow processor's differ by up to 2 of 255 levels.
    """

    operations: ClassVar[PictureOperations] = TORCH


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that are set. Raises `InputError` for an unknown one."""
    options = active("the image processor", mapping("options", options), IMAGE_OPTIONS)
    check_names("the image processor", options, OPTIONS)
    return given(options)
