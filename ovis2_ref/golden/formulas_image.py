"""Image processing, value by value: picture -> grid -> canvas -> tiles -> pixel values, and prompt -> token ids."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from ovis2_ref.convention import Convention
from ovis2_ref.golden.stages import Formula, Reference, Stage, numbered, spelled_out
from ovis2_ref.image.cutting import canvas_grid, fitted_size, resized
from ovis2_ref.image.processor import Ovis2ImageProcessor
from ovis2_ref.image.tiling import covering_grid, split_regions
from ovis2_ref.runtime.arrays import Array
from ovis2_ref.runtime.weights import Weights
from ovis2_ref.text.layout import expand_pictures, original_token_ids

Picture = UInt8[np.ndarray, "channels _height _width"]


def images_of(m: Reference) -> Ovis2ImageProcessor:
    """Return the image processor of the run."""
    return m.processor.image_processor


def grid_of(m: Reference, w: Weights, picture: Picture) -> Int[np.ndarray, "2"]:
    """(rows, columns) by the covering area, or (1, 1) where pictures are not cut."""
    images, (height, width) = images_of(m), picture.shape[1:]
    cuts = images.crop_to_patches and images.max_patches > 1
    if images.convention.crop_before_resize:
        side, most = images.original_side, images.max_patches if images.crop_to_patches else 1
        return np.array(covering_grid(height, width, side, most, images.covering_threshold))
    return np.array(canvas_grid(height, width, images, images.convention.transposed_grid) if cuts else [1, 1])


def canvas_of(m: Reference, w: Weights, picture: Picture, grid: Array) -> Picture:
    """Return the picture resized to rows x columns tiles."""
    height, width = images_of(m).tile_size
    return resized(picture, (int(grid[0]) * height, int(grid[1]) * width), images_of(m), images_of(m).operations)[0]


def tiles_of(
    m: Reference, w: Weights, picture: Picture, grid: Array, canvas: Picture
) -> UInt8[np.ndarray, "n c side side"]:
    """Return the canvas cut along the grid, in reading order; the whole picture in one tile first, if there are several."""
    height, width = images_of(m).tile_size
    rows, columns = (int(count) for count in grid)
    cut = canvas.reshape(len(canvas), rows, height, columns, width).transpose(1, 3, 0, 2, 4)
    tiles = list(cut.reshape(-1, len(canvas), height, width))
    if len(tiles) > 1:
        tiles.insert(0, resized(picture, (height, width), images_of(m), images_of(m).operations)[0])
    return np.stack(tiles)


def normalised(m: Reference, levels: Array) -> Float[np.ndarray, "*shape"]:
    """(level / 255 - mean) / std for each channel; exactly, or as the processor does it in float32."""
    images = images_of(m)
    factor = images.rescale_factor if images.do_rescale else None
    mean, std = (images.image_mean, images.image_std) if images.do_normalize else (None, None)
    if m.dtype != np.float64:
        return images.operations.values(levels, factor, mean, std)
    values = levels.astype(np.float64) * (1.0 if factor is None else factor)
    if mean is None or std is None:
        return values
    return (values - np.reshape(np.broadcast_to(mean, len(levels)), (-1, 1, 1))) / np.reshape(
        np.broadcast_to(std, len(levels)), (-1, 1, 1)
    )


def values_of_tiles(m: Reference, w: Weights, *tiles: Array) -> Float[np.ndarray, "n c side side"]:
    """Return the tiles of all pictures, normalised."""
    return np.stack([normalised(m, tile) for part in tiles for tile in part])


def values_of_original(m: Reference, w: Weights, *pictures_and_grids: Array) -> Float[np.ndarray, "n c side side"]:
    """Return the authors' tiles: regions of each picture, resized with their aspect ratio kept, normalised, padded with zeros.

    All pictures come first, then all grids.
    """
    images, count = images_of(m), len(pictures_and_grids) // 2
    height, width = images.tile_size
    padded = []
    for picture, grid in zip(pictures_and_grids[:count], pictures_and_grids[count:], strict=True):
        regions = split_regions(picture.shape[1], picture.shape[2], (int(grid[0]), int(grid[1])))
        crops = [picture[:, upper:lower, left:right] for left, upper, right, lower in regions]
        for crop in [picture, *crops] if len(crops) > 1 else crops:
            tile = normalised(
                m, resized(crop, fitted_size(crop.shape[1], crop.shape[2], height), images, images.operations)[0]
            )
            top, left = ((side - size) // 2 for side, size in zip((height, width), tile.shape[1:], strict=True))
            sides = (top, height - top - tile.shape[1]), (left, width - left - tile.shape[2])
            padded.append(np.pad(tile, ((0, 0), *sides)))
    return np.stack(padded)


def token_ids(m: Reference, w: Weights, *grids: Array) -> Int[np.ndarray, "1 tokens"]:
    """Return the ids of the prompt with the layout of each picture in place."""
    processor, prompts = m.processor, [m.prompt or ""]
    pairs: Any = [tuple(int(count) for count in grid) for grid in grids]
    encode, length = processor.tokenizer.encode, processor.image_seq_length
    if m.convention.placeholders_in_vocabulary:
        return np.array([encode(expand_pictures(prompts, pairs, length)[0])])
    return np.array(original_token_ids(prompts, pairs, encode, length)[0])[None]


PICTURE = (
    Formula("picture", ("given",), lambda m, w, picture: picture),
    Formula("grid", ("picture",), grid_of),
    Formula("canvas", ("picture", "grid"), canvas_of),
    Formula("tiles", ("picture", "grid", "canvas"), tiles_of),
)


def image_stages(convention: Convention, pictures: int) -> Iterator[Stage]:
    """Yield the stages from the pictures to `pixel_values` and `input_ids`."""
    each = range(1, pictures + 1)
    for i in each:
        yield from spelled_out(PICTURE[:2] if convention.crop_before_resize else PICTURE, "image", i)
    if convention.crop_before_resize:
        inputs = (*(numbered("image.picture", i) for i in each), *(numbered("image.grid", i) for i in each))
        yield Stage("pixel_values", inputs, "", values_of_original)
    else:
        yield Stage("pixel_values", tuple(numbered("image.tiles", i) for i in each), "", values_of_tiles)
    yield Stage("input_ids", tuple(numbered("image.grid", i) for i in each), "", token_ids)
