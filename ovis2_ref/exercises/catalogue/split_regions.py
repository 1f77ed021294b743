"""Split a picture into regions.

A picture is cut into a grid of rows x columns regions in reading order: the first row from left to right, then the second.
Every region has height // rows by width // columns pixels, and those of the last row and of the last column also take what
the division leaves over.

A picture of 5 x 7 pixels (height x width) in 1 row and 3 columns: (0, 0, 2, 5), (2, 0, 4, 5), (4, 0, 7, 5).
"""

from collections.abc import Iterator

import numpy as np

from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong
from ovis2_ref.image import tiling


def split_regions(height: int, width: int, rows: int, columns: int) -> list[tuple[int, int, int, int]]:
    """Return (left, upper, right, lower) of every region in reading order; right and lower are outside, as in a slice."""
    row_height, column_width = height // rows, width // columns
    regions = []
    for row in range(rows):
        for column in range(columns):
            left, upper = column * column_width, row * row_height
            right = width if column == columns - 1 else left + column_width
            lower = height if row == rows - 1 else upper + row_height
            regions.append((left, upper, right, lower))
    return regions


def project(height: int, width: int, rows: int, columns: int) -> list[tuple[int, int, int, int]]:
    return tiling.split_regions(height, width, (rows, columns))


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    for height, width, rows, columns in (
        (2, 2, 1, 1),
        (2, 4, 1, 2),
        (5, 7, 1, 3),
        (7, 5, 3, 1),
        (7, 8, 2, 3),
        (3, 3, 2, 2),
    ):
        yield {"height": height, "width": width, "rows": rows, "columns": columns}
    for _ in range(10):
        rows, columns = (int(n) for n in rng.integers(1, 5, 2))
        height, width = (int(n) for n in rng.integers(6, 40, 2))
        yield {"height": height, "width": width, "rows": rows, "columns": columns}


EXERCISE = Exercise(
    answer=split_regions,
    expected=project,
    cases=cases,
    one_file="covering_grid",
    minutes=12,
    hints=(
        "Two loops, rows outside, columns inside. Where does region (row, column) begin?",
        "It begins at column * (width // columns), row * (height // rows). The last column ends at width.",
        "right = width if column == columns - 1 else left + width // columns",
    ),
    wrong=(
        wrong(
            "the rest dropped",
            "The division leaves pixels over at the right and at the bottom; the last column and row take them.",
            ("width if column == columns - 1 else left + column_width", "left + column_width"),
            ("height if row == rows - 1 else upper + row_height", "upper + row_height"),
        ),
        wrong(
            "the columns' rest dropped",
            "The last column goes to the picture's right edge.",
            ("column == columns - 1", "column == columns"),
        ),
        wrong(
            "the rows' rest dropped",
            "The last row goes to the picture's lower edge.",
            ("row == rows - 1", "row == rows"),
        ),
        wrong(
            "column by column",
            "Reading order goes along a row first: the loop over rows is the outer one.",
            ("for row in range(rows)", "for column in range(columns)"),
            (
                "        for column in range(columns):\n            left",
                "        for row in range(rows):\n            left",
            ),
        ),
        wrong(
            "rows and columns exchanged",
            "Rows divide the height, columns the width.",
            (
                "row_height, column_width = height // rows, width // columns",
                "rows, columns = columns, rows\n    row_height, column_width = height // rows, width // columns",
            ),
        ),
        wrong(
            "upper before left",
            "The order is (left, upper, right, lower), Pillow's: x before y.",
            ("(left, upper, right, lower)", "(upper, left, lower, right)"),
        ),
        wrong(
            "width and height for right and lower",
            "The third and fourth numbers are edges, not sizes.",
            ("(left, upper, right, lower)", "(left, upper, right - left, lower - upper)"),
        ),
        wrong(
            "last pixel for edge",
            "right and lower are one past the last pixel, as in a slice.",
            ("(left, upper, right, lower)", "(left, upper, right - 1, lower - 1)"),
        ),
        wrong(
            "sizes rounded up",
            "// rounds down. With sizes rounded up the last region would be smaller than the others, not larger.",
            ("height // rows, width // columns", "-(-height // rows), -(-width // columns)"),
        ),
        wrong(
            "the rest spread evenly",
            "All regions but the last have the same size: only the last one takes the rest.",
            ("column * column_width, row * row_height", "column * width // columns, row * height // rows"),
            ("left + column_width", "(column + 1) * width // columns"),
            ("upper + row_height", "(row + 1) * height // rows"),
        ),
        wrong(
            "fractions of pixels",
            "Regions are whole pixels: divide with //.",
            ("height // rows, width // columns", "height / rows, width / columns"),
        ),
    ),
    solution=(tiling.split_regions,),
    notice=(
        "one comprehension, rows before columns, as the two `for` of a comprehension nest. The authors' code cuts these"
        " regions from the full picture; transformers resizes to a canvas that the grid divides exactly, so nothing is "
        "left over there."
    ),
)
