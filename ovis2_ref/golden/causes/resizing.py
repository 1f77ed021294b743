"""Further mistakes on a picture's way to tiles: the grid, the canvas, the filter, the thumbnail."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ovis2_ref.golden.causes import Cause
from ovis2_ref.golden.causes.image import CANVAS, TILES, with_options
from ovis2_ref.golden.formulas_image import canvas_of, grid_of, images_of
from ovis2_ref.golden.stages import Reference
from ovis2_ref.image.processor import Ovis2ImageProcessorFast
from ovis2_ref.runtime.arrays import Array
from ovis2_ref.runtime.weights import Weights
from ovis2_ref.text.processor import Ovis2Processor

PICTURE, GRID = ("image.picture",), ("image.grid",)
MLX_VLM = "https://github.com/Blaizzy/mlx-vlm/issues/1885"
INTERNVL = "https://github.com/ggml-org/llama.cpp/issues/17577"


def torch_resizing(m: Reference) -> Reference:
    """Return the reference with the image processor that resizes as torch does."""
    old = m.processor
    images = Ovis2ImageProcessorFast.from_dict(images_of(m).to_dict(), images_of(m).convention)
    processor = Ovis2Processor(images, old.tokenizer, image_seq_length=old.image_seq_length, convention=old.convention)
    return replace(m, processor=processor)


def canvas_size(m: Reference, grid: Array) -> tuple[int, int]:
    """Return the height and the width of the canvas in pixels."""
    height, width = images_of(m).tile_size
    return int(grid[0]) * height, int(grid[1]) * width


def padded_with(level: int, centred: bool = True) -> Callable[..., Array]:
    """Return the canvas with the picture's aspect ratio kept, and beside it, or after it, this level."""

    def compute(m: Reference, w: Weights, picture: Array, grid: Array) -> Array:
        height, width = canvas_size(m, grid)
        scale = min(height / picture.shape[1], width / picture.shape[2])
        inner = round(picture.shape[1] * scale), round(picture.shape[2] * scale)
        canvas = np.full((len(picture), height, width), level, np.uint8)
        top, left = ((height - inner[0]) // 2, (width - inner[1]) // 2) if centred else (0, 0)
        small = images_of(m).operations.resize(picture, inner, images_of(m))[0]
        canvas[:, top : top + inner[0], left : left + inner[1]] = small
        return canvas

    return compute


def cropped(m: Reference, w: Weights, picture: Array, grid: Array) -> Array:
    """Return the canvas filled by the picture, its aspect ratio kept, with what stands out cut off on both sides."""
    height, width = canvas_size(m, grid)
    scale = max(height / picture.shape[1], width / picture.shape[2])
    outer = max(height, round(picture.shape[1] * scale)), max(width, round(picture.shape[2] * scale))
    large = images_of(m).operations.resize(picture, outer, images_of(m))[0]
    top, left = (outer[0] - height) // 2, (outer[1] - width) // 2
    return large[:, top : top + height, left : left + width]


def interpolated(picture: Array, size: tuple[int, int], a: float, corners: bool) -> Array:
    """Return bicubic interpolation without antialias: with the parameter `a`, and the corner pixels on each other or not."""
    for axis, count in ((1, size[0]), (2, size[1])):
        have = picture.shape[axis]
        places = (
            np.arange(count) * (have - 1) / max(count - 1, 1)
            if corners
            else (np.arange(count) + 0.5) * have / count - 0.5
        )
        first = np.floor(places).astype(int)
        total = 0.0
        for k in range(-1, 3):
            x = np.abs(places - first - k)
            near, far = ((a + 2) * x - (a + 3)) * x * x + 1, a * (((x - 5) * x + 8) * x - 4)
            weight = np.where(x < 1, near, np.where(x < 2, far, 0)).reshape([-1 if i == axis else 1 for i in range(3)])
            total = total + weight * np.take(picture, np.clip(first + k, 0, have - 1), axis=axis)
        picture = total
    return np.clip(np.floor(picture + 0.5), 0, 255).astype(np.uint8)


def canvas_interpolated(a: float, corners: bool) -> Callable[..., Array]:
    """Return the canvas by `interpolated`."""
    return lambda m, w, picture, grid: interpolated(picture, canvas_size(m, grid), a, corners)


def thumbnail_of_canvas(m: Reference, w: Weights, tiles: Array, picture: Array, grid: Array, canvas: Array) -> Array:
    """Return the tiles with a thumbnail that was made of the canvas."""
    if len(tiles) == 1:
        return tiles
    thumbnail = images_of(m).operations.resize(canvas, images_of(m).tile_size, images_of(m))[0]
    return np.concatenate([thumbnail[None], tiles[1:]])


def always_a_thumbnail(m: Reference, w: Weights, tiles: Array, *_: Array) -> Array:
    """Return the tiles with a thumbnail before a single one, too."""
    return np.concatenate([tiles, tiles]) if len(tiles) == 1 else tiles


def grid_by(**options: object) -> Callable[..., Array]:
    """Return the grid under other options."""
    return lambda m, w, picture: grid_of(with_options(m, **options), w, picture)


STORED: dict[int, Callable[[Array], Array]] = {
    3: lambda picture: picture[:, ::-1, ::-1],
    6: lambda picture: np.rot90(picture, 1, (1, 2)),
    8: lambda picture: np.rot90(picture, -1, (1, 2)),
}
"""EXIF orientation that a camera writes -> the upright picture as it is stored: on its head, or turned to either side."""

RESIZING_CAUSES: tuple[Cause, ...] = (
    *(
        Cause(
            f"picture: EXIF orientation {number} ignored",
            PICTURE,
            lambda m, w, picture, stored=stored: np.ascontiguousarray(stored(picture)),
            "the decoder: the EXIF orientation says how the stored picture is to be turned",
        )
        for number, stored in STORED.items()
    ),
    Cause("grid: a picture is not cut", GRID, grid_by(crop_to_patches=False), "crop_to_patches", MLX_VLM),
    Cause(
        "grid: by the closest aspect ratio, as InternVL",
        GRID,
        grid_by(use_covering_area_grid=False),
        "use_covering_area_grid: the smallest grid that covers 90 % of the picture",
    ),
    *(
        Cause(
            f"resizing: aspect ratio kept, padded with {name}",
            CANVAS,
            compute,
            "the canvas takes the whole picture",
            INTERNVL,
        )
        for name, compute in (
            ("white", padded_with(255)),
            ("grey 127", padded_with(127)),
            ("black at the end", padded_with(0, centred=False)),
        )
    ),
    Cause("resizing: aspect ratio kept, cropped", CANVAS, cropped, "the canvas takes the whole picture", INTERNVL),
    Cause(
        "resizing: as torch, not as Pillow",
        CANVAS,
        lambda m, w, picture, grid: canvas_of(torch_resizing(m), w, picture, grid),
        "torch rounds the filter's weights to other fixed points, and makes the horizontal pass first",
    ),
    Cause(
        "resizing: no antialias, parameter -0.75",
        CANVAS,
        canvas_interpolated(-0.75, corners=False),
        "OpenCV's and torch's bicubic takes a = -0.75, and no antialias unless asked for; Pillow's takes -0.5",
    ),
    Cause(
        "resizing: no antialias, corners aligned",
        CANVAS,
        canvas_interpolated(-0.5, corners=True),
        "align_corners=False: pixel centres are at 1/2",
    ),
    Cause("tiles: in reverse order", TILES, lambda m, w, y, *_: y[::-1], "tiles are in reading order", of_result=True),
    Cause(
        "tiles: thumbnail made of the canvas",
        TILES,
        thumbnail_of_canvas,
        "the thumbnail is the picture itself, resized",
        of_result=True,
    ),
    Cause(
        "tiles: a single tile has a thumbnail, too",
        TILES,
        always_a_thumbnail,
        "a picture of one tile has no thumbnail",
        of_result=True,
    ),
)
