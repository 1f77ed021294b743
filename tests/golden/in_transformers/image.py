"""Mistakes in the picture, the prompt and the inputs of transformers' run."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from transformers.models.ovis2 import image_processing_pil_ovis2 as processing

from tests.golden.in_transformers.workbench import Mistake, Workbench

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


def option(**options: Any) -> Mistake:
    """Call the processor with other options."""
    return lambda bench: bench.options.update(options)


def picture(change: Callable[[np.ndarray], np.ndarray]) -> Mistake:
    """Give the model another picture (height, width, channels)."""
    return lambda bench: setattr(bench, "picture", change(bench.picture))


def prompt(change: Callable[[str], str]) -> Mistake:
    """Give the processor another prompt."""
    return lambda bench: setattr(bench, "text", change)


def pixels(change: Callable[[torch.Tensor], torch.Tensor]) -> Mistake:
    """Give the model other pixel values."""
    return lambda bench: setattr(
        bench, "inputs", lambda inputs: {**inputs, "pixel_values": change(inputs["pixel_values"]).contiguous()}
    )


def ids(change: Callable[[list[int], list[int]], list[int]]) -> Mistake:
    """Give the model other ids: change(ids, indicators)."""

    def mistake(bench: Workbench) -> None:
        indicators = list(bench.model.config.visual_indicator_token_ids)

        def changed(inputs: dict[str, Any]) -> dict[str, Any]:
            row = torch.tensor([change(inputs["input_ids"][0].tolist(), indicators)])
            return {**inputs, "input_ids": row, "attention_mask": torch.ones_like(row)}

        bench.inputs = changed

    return mistake


def without(*numbers: int) -> Mistake:
    """Leave out some of the indicators: 0 start, 1 grid, 2 column, 3 row, 4 end."""
    return ids(lambda row, marks: [token for token in row if token not in [marks[i] for i in numbers]])


def exchanged(row: list[int], marks: list[int]) -> list[int]:
    """Return the ids with the column and the row indicator in each other's place."""
    turned = {marks[2]: marks[3], marks[3]: marks[2]}
    return [turned.get(token, token) for token in row]


def rows_ended(row: list[int], marks: list[int]) -> list[int]:
    """Return the ids with a row indicator before the end indicator, too."""
    at = row.index(marks[4])
    return [*row[:at], marks[3], *row[at:]]


def masked_pictures(bench: Workbench) -> None:
    """Set the attention mask to 0 on visual tokens."""
    token = bench.model.config.image_token_id
    bench.inputs = lambda inputs: {**inputs, "attention_mask": (inputs["input_ids"] != token).long()}


def grid(change: Callable[..., tuple[int, int]]) -> Mistake:
    """Cut the picture by another grid: change(the covering search, height and width, options)."""
    search = processing.get_min_tile_covering_grid
    return lambda bench: bench.patch(
        processing, "get_min_tile_covering_grid", lambda size, **options: change(search, size, options)
    )


def nine(search: Callable[..., tuple[int, int]], size: Any, options: dict[str, Any]) -> tuple[int, int]:
    """Return the grid of 9 tiles at most; transformers unpacks it as (columns, rows)."""
    rows, columns = search(size, **{**options, "max_image_tiles": 9})
    return columns, rows


def tiles(change: Callable[[list[Any], tuple[int, int]], list[Any]]) -> Mistake:
    """Put the tiles, the thumbnail first, into another order: change(tiles, (rows, columns))."""

    def mistake(bench: Workbench) -> None:
        kind = type(bench.processor.image_processor)
        cut = kind.crop_image_to_patches

        def changed(self: Any, *arguments: Any, **options: Any) -> tuple[list[Any], list[int]]:
            made, shape = cut(self, *arguments, **options)
            return change(made, tuple(shape)), shape

        bench.patch(kind, "crop_image_to_patches", changed)

    return mistake


def columns_first(made: list[Any], shape: tuple[int, int]) -> list[Any]:
    """Return the tiles counted down the columns."""
    rows, columns = shape
    return made[:1] + [made[1 + row * columns + column] for column in range(columns) for row in range(rows)]


def padded(level: int) -> Mistake:
    """Make the canvas with the picture's aspect ratio kept, beside it this level; the thumbnail as it should be."""

    def mistake(bench: Workbench) -> None:
        kind = type(bench.processor.image_processor)
        resize = kind.resize

        def changed(self: Any, image: np.ndarray, size: Any, resample: Any = None, **options: Any) -> np.ndarray:
            if size.height == size.width == 64:
                return resize(self, image, size=size, resample=resample, **options)
            whole = Image.fromarray(image.transpose(1, 2, 0))
            fitted = ImageOps.contain(whole, (size.width, size.height), Image.Resampling.BICUBIC)
            canvas = Image.new("RGB", (size.width, size.height), (level,) * 3)
            canvas.paste(fitted, ((size.width - fitted.width) // 2, (size.height - fitted.height) // 2))
            return np.asarray(canvas).transpose(2, 0, 1)

        bench.patch(kind, "resize", changed)

    return mistake


IMAGE: dict[str, Mistake] = {
    **{
        f"resizing: {name}": option(resample=number)
        for name, number in {"nearest": 0, "lanczos": 1, "bilinear": 2, "box": 4, "hamming": 5}.items()
    },
    "resizing: aspect ratio kept, padded with black": padded(0),
    "resizing: aspect ratio kept, padded with white": padded(255),
    "resizing: aspect ratio kept, padded with grey 127": padded(127),
    "grid transposed": grid(lambda search, size, options: search(size, **options)[::-1]),
    "grid of at most 9 tiles, not transposed": grid(nine),
    "grid: a picture is not cut": option(crop_to_patches=False),
    "grid: by the closest aspect ratio, as InternVL": option(use_covering_area_grid=False),
    "tiles: column by column": tiles(columns_first),
    "tiles: thumbnail last": tiles(lambda made, shape: [*made[1:], made[0]]),
    "tiles: in reverse order": tiles(lambda made, shape: made[::-1]),
    "channels: blue first": picture(lambda image: image[..., ::-1]),
    "picture: EXIF orientation 3 ignored": picture(lambda image: np.rot90(image, 2)),
    "picture: EXIF orientation 6 ignored": picture(lambda image: np.rot90(image, 1)),
    "picture: EXIF orientation 8 ignored": picture(lambda image: np.rot90(image, -1)),
    "pixels: rows and columns swapped": pixels(lambda values: values.mT),
    "pixels: upside down": pixels(lambda values: values.flip(-2)),
    "values: not normalised": option(do_normalize=False),
    "values: not rescaled": option(do_rescale=False),
    "values: divided by 256": option(rescale_factor=1 / 256),
    "values: ImageNet's mean and deviation": option(**IMAGENET),
    "values: mean and deviation 1/2": option(image_mean=[0.5] * 3, image_std=[0.5] * 3),
    "values: deviation 2 % too large": pixels(lambda values: values / 1.02),
    "values: mean not taken off": option(image_mean=[0.0] * 3),
    "values: deviation not divided by": option(image_std=[1.0] * 3),
    "values: mean and deviation of the channels in reverse order": lambda bench: bench.options.update(
        image_mean=bench.processor.image_processor.image_mean[::-1],
        image_std=bench.processor.image_processor.image_std[::-1],
    ),
    "prompt: system message missing": prompt(lambda text: text[text.index("<|im_start|>user") :]),
    "prompt: assistant's line missing": prompt(lambda text: text[: text.index("<|im_start|>assistant")]),
    "prompt: no newline after a picture": prompt(lambda text: text.replace("<image>\n", "<image>")),
    "prompt: pictures after the question": prompt(
        lambda text: text.replace("<image>\n", "").replace("right?", "right?<image>\n")
    ),
    "prompt: space in front": prompt(lambda text: f" {text}"),
    "prompt: newline at the end missing": prompt(lambda text: text[:-1]),
    "prompt: newline after a message missing": prompt(lambda text: text.replace("<|im_end|>\n", "<|im_end|>")),
    "layout: start and end of a picture missing": without(0, 4),
    "layout: column indicators missing": without(2),
    "layout: row indicators missing": without(3),
    "layout: grid indicator missing": without(1),
    "layout: no indicators": without(0, 1, 2, 3, 4),
    "layout: row and column indicators exchanged": ids(exchanged),
    "layout: row indicator after the last row, too": ids(rows_ended),
    "attention mask: 0 on visual tokens": masked_pictures,
}
"""The name of a known mistake -> what makes it in transformers."""
