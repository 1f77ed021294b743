"""The layout of a picture in the prompt.

A picture's visual tokens are written into the prompt as <IMG_ATOM>s, with indicator tokens between them that show the grid.
With @ for a tile's atoms, the thumbnail first, a grid of 2 rows and 3 columns is

    <IMG_START> @ <IMG_GRID>
        @ <IMG_COL> @ <IMG_COL> @ <IMG_ROW>
        @ <IMG_COL> @ <IMG_COL> @
    <IMG_END>

so <IMG_COL> stands between the tiles of a row, and <IMG_ROW> between rows. A grid of 1 x 1 has no tiles after <IMG_GRID>:
its thumbnail is all there is.
"""

from collections.abc import Iterator

import numpy as np

from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong
from ovis2_ref.text import layout


def image_layout(rows: int, columns: int, tokens_per_tile: int) -> list[str]:
    """Return the tokens of a picture cut into rows x columns tiles, each tile as `tokens_per_tile` <IMG_ATOM>s."""
    tile = ["<IMG_ATOM>"] * tokens_per_tile
    tokens = ["<IMG_START>", *tile, "<IMG_GRID>"]
    if rows * columns > 1:
        for row in range(rows):
            if row > 0:
                tokens.append("<IMG_ROW>")
            for column in range(columns):
                if column > 0:
                    tokens.append("<IMG_COL>")
                tokens += tile
    return [*tokens, "<IMG_END>"]


def project(rows: int, columns: int, tokens_per_tile: int) -> list[str]:
    times = {layout.IMAGE_ATOM: tokens_per_tile}
    return [token for token in layout.picture_layout((rows, columns)) for _ in range(times.get(token, 1))]


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    for rows, columns in ((1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (3, 2), (1, 4)):
        yield {"rows": rows, "columns": columns, "tokens_per_tile": 1}
    for rows, columns in ((1, 1), (3, 1), (2, 3)):
        yield {"rows": rows, "columns": columns, "tokens_per_tile": int(rng.integers(2, 4))}


EXERCISE = Exercise(
    answer=image_layout,
    expected=project,
    cases=cases,
    one_file="image_placeholder",
    minutes=12,
    hints=(
        (
            "Start with the thumbnail, then loop over rows and columns. A separator comes before every tile but the first "
            "of a row."
        ),
        "if column > 0: append <IMG_COL>; if row > 0: append <IMG_ROW>. Leave both loops out for a grid of 1 x 1.",
        'tokens = ["<IMG_START>", *tile, "<IMG_GRID>"], then the loops, then "<IMG_END>"',
    ),
    wrong=(
        wrong(
            "a single tile repeated",
            "A grid of 1 x 1 has no tile after <IMG_GRID>: the thumbnail is that tile.",
            ("if rows * columns > 1:", "if True:"),
        ),
        wrong(
            "no thumbnail",
            "The thumbnail's atoms come between <IMG_START> and <IMG_GRID>.",
            ('"<IMG_START>", *tile, ', '"<IMG_START>", '),
        ),
        wrong(
            "one atom for a tile",
            "transformers' prompt has as many atoms as the tile has visual tokens.",
            ('["<IMG_ATOM>"] * tokens_per_tile', '["<IMG_ATOM>"]'),
        ),
        wrong(
            "a column mark after every tile",
            "<IMG_COL> stands between tiles, not after the last of a row.",
            (
                '                if column > 0:\n                    tokens.append("<IMG_COL>")\n                tokens += tile',
                '                tokens += tile\n                tokens.append("<IMG_COL>")',
            ),
        ),
        wrong(
            "a row mark after every row",
            "<IMG_ROW> stands between rows, not after the last one.",
            ('            if row > 0:\n                tokens.append("<IMG_ROW>")\n', ""),
            (
                "                tokens += tile",
                '                tokens += tile\n            tokens.append("<IMG_ROW>")',
            ),
        ),
        wrong(
            "a row mark before every row",
            "Before the first row there is <IMG_GRID> already.",
            ("if row > 0:", "if True:"),
        ),
        wrong(
            "transposed grid",
            "rows x columns: the outer loop runs over rows.",
            ("    tile = [", "    rows, columns = columns, rows\n    tile = ["),
        ),
        wrong(
            "row and column marks exchanged",
            "<IMG_COL> stands between the tiles of a row, <IMG_ROW> between rows.",
            ('"<IMG_ROW>"', '"<IMG_COL>"'),
            ('"<IMG_COL>"', '"<IMG_ROW>"'),
        ),
        wrong(
            "no column marks",
            "<IMG_COL> stands between the tiles of a row.",
            ('                if column > 0:\n                    tokens.append("<IMG_COL>")\n', ""),
        ),
        wrong(
            "no row marks",
            "<IMG_ROW> stands between rows.",
            ('            if row > 0:\n                tokens.append("<IMG_ROW>")\n', ""),
        ),
        wrong("no end", "<IMG_END> closes the picture.", ('[*tokens, "<IMG_END>"]', "tokens")),
        wrong(
            "no grid mark for a single tile",
            "<IMG_GRID> follows the thumbnail always.",
            ('"<IMG_START>", *tile, "<IMG_GRID>"]', '"<IMG_START>", *tile, *["<IMG_GRID>"] * (rows * columns > 1)]'),
        ),
    ),
    solution=(layout.picture_layout, layout.image_placeholder),
    notice=(
        "the layout is made with one atom for a tile, and only the text repeats it. The five indicators have their own "
        "rows in the visual embedding table, the last five, in this order: start, grid, column, row, end."
    ),
)
