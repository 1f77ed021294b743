"""Cut a canvas into tiles.

The picture was resized to a canvas whose edges are multiples of the tile's side. Cut it into tiles in reading order, and
put the thumbnail, the whole picture in one tile, before them. A canvas of one tile has no thumbnail: it would be the same
picture.

    (channels, rows side, columns side)  ->  (tiles, channels, side, side)
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import UInt8

from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong
from ovis2_ref.image import cutting


def cut_tiles(
    canvas: UInt8[np.ndarray, "channels height width"], thumbnail: UInt8[np.ndarray, "channels side side"]
) -> UInt8[np.ndarray, "tiles channels side side"]:
    """Return the thumbnail and the tiles of `canvas` in reading order; only the tile itself if there is but one."""
    channels, height, width = canvas.shape
    _, _, side = thumbnail.shape
    rows, columns = height // side, width // side
    tiles = canvas.reshape(channels, rows, side, columns, side)
    tiles = tiles.transpose(1, 3, 0, 2, 4).reshape(rows * columns, channels, side, side)
    if len(tiles) > 1:
        tiles = np.concatenate([thumbnail[None], tiles])
    return tiles


def sliced(canvas: np.ndarray, thumbnail: np.ndarray) -> np.ndarray:
    """Return the same by slices, as the project and transformers do it."""
    side = thumbnail.shape[-1]
    tiles = [
        canvas[:, top : top + side, left : left + side]
        for top in range(0, canvas.shape[1], side)
        for left in range(0, canvas.shape[2], side)
    ]
    return np.stack([thumbnail, *tiles] if len(tiles) > 1 else tiles)


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    for rows, columns, side in ((1, 1, 2), (1, 2, 2), (2, 1, 2), (2, 2, 4), (2, 3, 2), (3, 2, 4), (2, 2, 3)):
        y, x = np.mgrid[0 : rows * side, 0 : columns * side]
        canvas = np.stack(
            [40 + 200 * x // (columns * side), 40 + 200 * y // (rows * side), 255 * ((x + 2 * y) % 5 == 0)]
        )
        yield {
            "canvas": canvas.astype(np.uint8),
            "thumbnail": rng.integers(0, 256, (3, side, side), dtype=np.uint8),
        }


EXERCISE = Exercise(
    answer=cut_tiles,
    expected=sliced,
    cases=cases,
    one_file="cut_canvas",
    minutes=12,
    hints=(
        "Split the height into (rows, side) and the width into (columns, side). Which axes come first in the result?",
        "reshape to (channels, rows, side, columns, side), then transpose so that rows and columns lead.",
        "canvas.reshape(channels, rows, side, columns, side).transpose(1, 3, 0, 2, 4)",
    ),
    wrong=(
        wrong(
            "a reshape alone",
            (
                "Reshaping keeps the order of the pixels in memory, and a tile's pixels don't lie one after the other. "
                "Transpose."
            ),
            (".transpose(1, 3, 0, 2, 4)", ""),
        ),
        wrong(
            "column by column",
            "Reading order: the tiles of the first row come first.",
            (".transpose(1, 3, 0, 2, 4)", ".transpose(3, 1, 0, 2, 4)"),
        ),
        wrong("thumbnail last", "The thumbnail comes first.", ("[thumbnail[None], tiles]", "[tiles, thumbnail[None]]")),
        wrong("no thumbnail", "With more than one tile, the thumbnail comes before them.", ("len(tiles) > 1", "False")),
        wrong(
            "always a thumbnail",
            "A canvas of one tile is its own thumbnail: it isn't repeated.",
            ("len(tiles) > 1", "True"),
        ),
        wrong(
            "tiles lying on their side",
            "Inside a tile, rows come before columns: height before width.",
            (".transpose(1, 3, 0, 2, 4)", ".transpose(1, 3, 0, 4, 2)"),
        ),
        wrong(
            "transposed grid",
            "rows come from the height, columns from the width.",
            ("rows, columns = height // side, width // side", "columns, rows = height // side, width // side"),
        ),
        wrong(
            "every n-th pixel",
            "A tile is one piece of the canvas: the axis of the tile's side comes after the axis of rows in the reshape.",
            ("reshape(channels, rows, side, columns, side)", "reshape(channels, side, rows, side, columns)"),
            (".transpose(1, 3, 0, 2, 4)", ".transpose(2, 4, 0, 1, 3)"),
        ),
        wrong(
            "tiles of each channel apart",
            "A tile holds all channels: the tile's axes come first, then the channels.",
            (".transpose(1, 3, 0, 2, 4)", ".transpose(0, 1, 3, 2, 4)"),
        ),
        wrong(
            "thumbnail lying on its side",
            "The thumbnail goes in as it is, with one new axis in front: thumbnail[None].",
            ("thumbnail[None]", "thumbnail.transpose(0, 2, 1)[None]"),
        ),
    ),
    solution=(cutting.cut_canvas,),
    notice=(
        "the project cuts by slices, which says the same and makes no copy. Numbering starts at the thumbnail, so tile "
        "1 is the upper left one; the prompt's layout has the same order."
    ),
    shown="picture",
    exact=True,
)
