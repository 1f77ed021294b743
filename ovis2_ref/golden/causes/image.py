"""Mistakes in image processing: resizing, cutting, values."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ovis2_ref.golden.causes import Cause
from ovis2_ref.golden.formulas_image import canvas_of, images_of, normalised, tiles_of
from ovis2_ref.golden.stages import Reference
from ovis2_ref.runtime.arrays import Array
from ovis2_ref.runtime.weights import Weights
from ovis2_ref.text.processor import Ovis2Processor

CANVAS, TILES, VALUES = ("image.canvas",), ("image.tiles",), ("pixel_values",)
FILTERS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "box": 4, "hamming": 5}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
CLIP = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}


def with_options(m: Reference, **options: Any) -> Reference:
    """Return the reference with other options of its image processor."""
    old, images = m.processor, images_of(m)
    changed = type(images).from_dict({**images.to_dict(), **options}, images.convention)
    processor = Ovis2Processor(changed, old.tokenizer, image_seq_length=old.image_seq_length, convention=old.convention)
    return replace(m, processor=processor)


def canvas_by(**options: Any) -> Callable[..., Array]:
    """Return the canvas, resized with other options."""
    return lambda m, w, picture, grid: canvas_of(with_options(m, **options), w, picture, grid)


def tiles_by(**options: Any) -> Callable[..., Array]:
    """Return the tiles, their thumbnail resized with other options."""
    return lambda m, w, picture, grid, canvas: tiles_of(with_options(m, **options), w, picture, grid, canvas)


def sampled(picture: Array, size: tuple[int, int]) -> Array:
    """Resize bicubically without antialias: four input pixels for an output pixel, however much the picture shrinks."""
    for axis, count in ((1, size[0]), (2, size[1])):
        places = (np.arange(count) + 0.5) * picture.shape[axis] / count - 0.5
        first = np.floor(places).astype(int)
        total = 0.0
        for k in range(-1, 3):
            x = np.abs(places - first - k)
            near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
            weight = np.where(x < 1, near, np.where(x < 2, far, 0)).reshape([-1 if a == axis else 1 for a in range(3)])
            total = total + weight * np.take(picture, np.clip(first + k, 0, picture.shape[axis] - 1), axis=axis)
        picture = total
    return np.clip(np.floor(picture + 0.5), 0, 255).astype(np.uint8)


def canvas_sampled(m: Reference, w: Weights, picture: Array, grid: Array) -> Array:
    """Return the canvas without antialias."""
    height, width = images_of(m).tile_size
    return sampled(picture, (int(grid[0]) * height, int(grid[1]) * width))


def tiles_sampled(m: Reference, w: Weights, picture: Array, grid: Array, canvas: Array) -> Array:
    """Return the tiles, the thumbnail without antialias."""
    tiles = tiles_of(m, w, picture, grid, canvas)
    if len(tiles) > 1:
        tiles[0] = sampled(picture, images_of(m).tile_size)
    return tiles


def canvas_padded(m: Reference, w: Weights, picture: Array, grid: Array) -> Array:
    """Return the canvas with the picture's aspect ratio kept, black beside it."""
    side_h, side_w = images_of(m).tile_size
    height, width = int(grid[0]) * side_h, int(grid[1]) * side_w
    scale = min(height / picture.shape[1], width / picture.shape[2])
    inner = round(picture.shape[1] * scale), round(picture.shape[2] * scale)
    images = images_of(m)
    small = images.operations.resize(picture, inner, images)[0]
    canvas = np.zeros((len(picture), height, width), np.uint8)
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    canvas[:, top : top + inner[0], left : left + inner[1]] = small
    return canvas


def columns_first(m: Reference, w: Weights, tiles: Array, picture: Array, grid: Array, canvas: Array) -> Array:
    """Return the tiles counted down the columns."""
    rows, columns = (int(count) for count in grid)
    rest = tiles[-rows * columns :]
    turned = rest.reshape(rows, columns, *rest.shape[1:]).swapaxes(0, 1).reshape(rest.shape)
    return np.concatenate([tiles[: -rows * columns], turned])


def values_by(**options: Any) -> Callable[..., Array]:
    """Return the formula of the pixel values with other options."""
    return lambda m, w, *tiles: np.stack(
        [normalised(with_options(m, **options), tile) for part in tiles for tile in part]
    )


def each_tile(change: Callable[[Array], Array]) -> Callable[..., Array]:
    """Return the formula of the pixel values of changed tiles."""
    return lambda m, w, *tiles: np.stack([normalised(m, change(tile)) for part in tiles for tile in part])


IMAGE_CAUSES: tuple[Cause, ...] = (
    *(
        Cause(f"resizing: {name}", pattern, compute, "resample in the processor's configuration: 3, bicubic", thread)
        for name, number in FILTERS.items()
        for pattern, compute in ((CANVAS, canvas_by(resample=number)), (TILES, tiles_by(resample=number)))
        for thread in ["https://github.com/ggml-org/llama.cpp/issues/24629" if name == "bilinear" else ""]
    ),
    *(
        Cause(f"resizing: order of passes of Pillow {order}", pattern, compute, "which pass comes first, and rounds")
        for order in (
            "12.2",
            "12.1",
        )  # of two that give the same values the first is named, and 12.2 differs less often
        for pattern, compute in ((CANVAS, canvas_by(pillow=order)), (TILES, tiles_by(pillow=order)))
    ),
    Cause("resizing: no antialias", CANVAS, canvas_sampled, "antialias=True: a picture that shrinks widens the filter"),
    Cause("resizing: no antialias", TILES, tiles_sampled, "antialias=True: a picture that shrinks widens the filter"),
    Cause(
        "resizing: aspect ratio kept, padded with black",
        CANVAS,
        canvas_padded,
        "the canvas takes the whole picture, its aspect ratio lost",
        "https://github.com/ggml-org/llama.cpp/issues/17577",
    ),
    Cause("tiles: column by column", TILES, columns_first, "tiles are in reading order", of_result=True),
    Cause(
        "tiles: thumbnail last",
        TILES,
        lambda m, w, tiles, *_: np.roll(tiles, -1, axis=0),
        "the thumbnail comes first",
        of_result=True,
    ),
    Cause(
        "tiles: thumbnail missing",
        TILES,
        lambda m, w, tiles, *_: tiles[1:],
        "several tiles have a thumbnail",
        of_result=True,
    ),
    Cause(
        "tiles: thumbnail alone",
        TILES,
        lambda m, w, tiles, *_: tiles[:1],
        "a picture is cut into tiles",
        "https://github.com/Blaizzy/mlx-vlm/issues/1885",
        of_result=True,
    ),
    Cause("channels: blue first", VALUES, each_tile(lambda tile: tile[::-1]), "red, green, blue"),
    Cause(
        "channels: blue first",
        ("image.picture",),
        lambda m, w, picture: picture[::-1],
        "red, green, blue",
        recorded_only=True,
    ),
    Cause(
        "channels: blue first, after normalising",
        VALUES,
        lambda m, w, y, *_: y[:, ::-1],
        "red, green, blue",
        of_result=True,
    ),
    Cause(
        "pixels: rows and columns swapped",
        VALUES,
        each_tile(lambda tile: tile.swapaxes(1, 2)),
        "(channels, rows, columns)",
    ),
    Cause("pixels: upside down", VALUES, each_tile(lambda tile: tile[:, ::-1]), "the first row is the top"),
    Cause("values: not normalised", VALUES, values_by(do_normalize=False), "do_normalize: (x - mean) / std"),
    Cause("values: not rescaled", VALUES, values_by(do_rescale=False), "do_rescale: x / 255"),
    Cause("values: divided by 256", VALUES, values_by(rescale_factor=1 / 256), "rescale_factor is 1 / 255"),
    Cause("values: ImageNet's mean and deviation", VALUES, values_by(**IMAGENET), "image_mean and image_std"),
    Cause("values: CLIP's mean and deviation", VALUES, values_by(**CLIP), "image_mean and image_std"),
    Cause("values: mean and deviation 1/2", VALUES, values_by(**HALF), "image_mean and image_std"),
    Cause("values: deviation 2 % too large", VALUES, lambda m, w, y, *_: y / 1.02, "image_std", of_result=True),
    Cause(
        "values: mean not taken off",
        VALUES,
        lambda m, w, *tiles: values_by(image_mean=[0.0, 0.0, 0.0])(m, w, *tiles),
        "image_mean",
    ),
    Cause(
        "values: deviation not divided by",
        VALUES,
        lambda m, w, *tiles: values_by(image_std=[1.0, 1.0, 1.0])(m, w, *tiles),
        "image_std",
    ),
    Cause(
        "values: mean and deviation of the channels in reverse order",
        VALUES,
        lambda m, w, *tiles: values_by(
            image_mean=np.ravel(images_of(m).image_mean)[::-1].tolist(),
            image_std=np.ravel(images_of(m).image_std)[::-1].tolist(),
        )(m, w, *tiles),
        "image_mean and image_std are red, green, blue",
    ),
)
