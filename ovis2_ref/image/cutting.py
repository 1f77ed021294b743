"""Cut a picture into tiles of levels as either program does: from the full picture or from a canvas, the thumbnail first."""

from typing import NamedTuple

import numpy as np

from ovis2_ref.convention import Convention
from ovis2_ref.errors import InputError
from ovis2_ref.image.limits import check_pixels, check_tiles
from ovis2_ref.image.operations import PictureOperations, center_crop
from ovis2_ref.image.options import ImageOptions, output_size
from ovis2_ref.image.pictures import Picture, height_width
from ovis2_ref.image.tiling import Grid, closest_grid, covering_grid, split_regions
from ovis2_ref.runtime.taps import is_listening, tap


class Tiles(NamedTuple):
    """A picture's tiles, thumbnail first; whether their levels are scaled floats from 0 to 1 (see `as_levels`); its grid."""

    tiles: list[Picture]
    scaled: bool
    grid: Grid


def resized(
    picture: Picture, size: tuple[int, int], options: ImageOptions, operations: PictureOperations
) -> tuple[Picture, bool]:
    """Return `picture` in `size` by the options' filter, and whether its levels are scaled floats from 0 to 1 (see `as_levels`).

    Raises `InputError` for a size beyond `MAX_PIXELS`, or of 0 pixels.
    """
    check_pixels(size[1], size[0], "the resized picture")
    if 0 in size:
        raise InputError(
            f"resized to {size[1]}x{size[0]} (w x h), a picture would have no pixels: it is too narrow for this size"
        )
    return operations.resize(picture, size, options)


def cut_whole(picture: Picture, options: ImageOptions, operations: PictureOperations) -> Tiles:
    """Return the picture as one tile, resized if `do_resize` says so."""
    if not options.do_resize:
        return Tiles([picture], False, (1, 1))
    levels, scaled = resized(picture, output_size(*height_width(picture), options.size), options, operations)
    return Tiles([levels], scaled, (1, 1))


def canvas_grid(height: int, width: int, options: ImageOptions, transposed: bool) -> Grid:
    """Return the grid (rows, columns) for a picture of that size: by the covering area, or by the closest aspect ratio."""
    tile = options.tile_size
    if not options.use_covering_area_grid:
        return closest_grid(height, width, tile, options.min_patches, options.max_patches)
    rows, columns = covering_grid(height, width, tile[0], options.max_patches, options.covering_threshold)
    # transformers unpacks the search's (rows, columns) as (columns, rows): a 400x1000 (h x w) picture in 448 px tiles, 9 at
    # most, becomes 3 rows of 1 column, where the authors cut 1 row of 3 columns.
    return (columns, rows) if transposed else (rows, columns)


def cut_canvas(picture: Picture, options: ImageOptions, operations: PictureOperations, transposed: bool) -> Tiles:
    """Resize the picture to a canvas of tiles, without keeping its aspect ratio, and cut it (transformers).

    A picture of one tile has no thumbnail.
    """
    height, width = options.tile_size
    rows, columns = canvas_grid(*height_width(picture), options, transposed)
    canvas, scaled = resized(picture, (rows * height, columns * width), options, operations)
    tap("image.canvas", canvas)
    tiles = [
        canvas[:, height * row : height * (row + 1), width * column : width * (column + 1)]
        for row in range(rows)
        for column in range(columns)
    ]
    if len(tiles) > 1:
        tiles.insert(0, resized(picture, (height, width), options, operations)[0])
    return Tiles(tiles, scaled, (rows, columns))


def cut_transformers(picture: Picture, options: ImageOptions, operations: PictureOperations, transposed: bool) -> Tiles:
    """Return the tiles that transformers' `_preprocess` makes of a picture, before it rescales and normalises them."""
    if options.crop_to_patches and options.max_patches > 1:
        cut = cut_canvas(picture, options, operations, transposed)
    else:
        cut = cut_whole(picture, options, operations)
    if not options.do_center_crop:
        return cut
    check_tiles(len(cut.tiles), *options.center_size)
    return cut._replace(tiles=[center_crop(tile, options.center_size, operations) for tile in cut.tiles])


def cut_original(picture: Picture, options: ImageOptions, operations: PictureOperations) -> Tiles:
    """Cut regions from the full picture, and resize each with its aspect ratio kept (the authors; see `fitted_size`).

    A tile may be smaller than its square: it is padded after normalising. Source: AIDC-AI/Ovis v2.0, `preprocess_image`.
    """
    side = options.original_side
    max_tiles = options.max_patches if options.crop_to_patches else 1
    grid = covering_grid(*height_width(picture), side, max_tiles, options.covering_threshold)
    regions = split_regions(*height_width(picture), grid)
    crops = [picture[:, upper:lower, left:right] for left, upper, right, lower in regions]
    if len(crops) > 1:
        crops.insert(0, picture)
    check_tiles(len(crops), side, side)
    parts = [resized(crop, fitted_size(*height_width(crop), side), options, operations) for crop in crops]
    return Tiles([levels for levels, _ in parts], parts[0][1], grid)


def fitted_size(height: int, width: int, side: int) -> tuple[int, int]:
    """Return (height, width): `side` for the longer edge, and int(short / long * side) for the shorter one.

    Raises `InputError` where the shorter one becomes 0 (600x1 in 448), where the authors' code fails too.
    """
    shorter = int(min(height, width) / max(height, width) * side)
    if shorter == 0:
        raise InputError(
            f"a {width}x{height} (w x h) part of a picture is too narrow to be fitted into {side}x{side} pixels"
        )
    return (shorter, side) if width > height else (side, shorter)


def cut(picture: Picture, options: ImageOptions, operations: PictureOperations, convention: Convention) -> Tiles:
    """Return the tiles of `picture` under `convention`.

    The taps of the second picture end in #2. There is no `image.tiles` where tiles differ in size.
    """
    tap("image.picture", picture)
    if convention.crop_before_resize:
        tiles = cut_original(picture, options, operations)
    else:
        tiles = cut_transformers(picture, options, operations, convention.transposed_grid)
    if is_listening("image.grid"):
        tap("image.grid", np.array(tiles.grid))
    if is_listening("image.tiles") and len({tile.shape for tile in tiles.tiles}) == 1:
        tap("image.tiles", np.stack(tiles.tiles))
    return tiles
