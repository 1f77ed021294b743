"""Covering area.

A large picture is cut into regions, and each region becomes a tile of side x side pixels. A region that is larger than the
tile is shrunk until its longer edge fits, its aspect ratio kept; a smaller one stays as it is. The covering area is what is
left of the region's pixels. Ovis2 chooses the grid of a picture by it.

    f = min(1, side / longer edge),    area = (f height) (f width)

A region of 8 x 4 pixels in tiles of 4 x 4: f = 1/2, so 4 x 2 = 8 pixels are left of 32.
"""

from collections.abc import Iterator

import numpy as np

from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong
from ovis2_ref.image import tiling


def covering_area(height: int, width: int, side: int) -> float:
    """Return the area in pixels that is left of a region of height x width pixels in a tile of side x side.

    The result need not be a whole number.
    """
    factor = min(1, side / max(height, width))
    return (height * factor) * (width * factor)


def project(height: int, width: int, side: int) -> float:
    return float(tiling.covering_area((0, 0, width, height), side))


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    for height, width, side in (
        (2, 3, 4),
        (4, 4, 4),
        (8, 4, 4),
        (4, 8, 4),
        (9, 7, 4),
        (1, 9, 4),
        (5, 3, 4),
        (30, 20, 10),
    ):
        yield {"height": height, "width": width, "side": side}
    for _ in range(12):
        height, width, side = (int(n) for n in rng.integers(1, 60, 3))
        yield {"height": height, "width": width, "side": side}


EXERCISE = Exercise(
    answer=covering_area,
    expected=project,
    cases=cases,
    one_file="covering_area",
    minutes=5,
    hints=(
        "Only a region that is too large changes. What does its longer edge become?",
        "One factor shrinks both edges, and it is never above 1.",
        "factor = min(1, side / max(height, width))",
    ),
    wrong=(
        wrong(
            "the region's own area",
            "Nothing is shrunk. The tile has room for side pixels along an edge, no more.",
            ("min(1, side / max(height, width))", "1"),
        ),
        wrong(
            "small regions enlarged",
            "A region that fits stays as it is: the factor is never above 1.",
            ("min(1, side / max(height, width))", "side / max(height, width)"),
        ),
        wrong(
            "the shorter edge decides",
            "The whole region has to fit, so its longer edge sets the factor.",
            ("max(height, width)", "min(height, width)"),
        ),
        wrong("only the width decides", "A region may be higher than it is wide.", ("max(height, width)", "width")),
        wrong("only the height decides", "A region may be wider than it is high.", ("max(height, width)", "height")),
        wrong(
            "one edge shrunk",
            "The aspect ratio is kept: the factor applies to both edges, so it stands in the area twice.",
            ("(width * factor)", "width"),
        ),
        wrong(
            "each edge clipped on its own",
            "Clipping each edge loses the aspect ratio. Shrink both by the same factor.",
            ("(height * factor) * (width * factor)", "min(height, side) * min(width, side)"),
        ),
        wrong(
            "whole pixels",
            "The area is a measure, not a picture: nothing is rounded.",
            ("(height * factor) * (width * factor)", "int(height * factor) * int(width * factor)"),
        ),
        wrong(
            "ratio upside down",
            "The factor is what the edge becomes over what it was.",
            ("side / max(height, width)", "max(height, width) / side"),
        ),
        wrong(
            "whole division",
            "// drops the fraction: the factor becomes 0 or 1. Divide with /.",
            ("side / max", "side // max"),
        ),
    ),
    solution=(tiling.covering_area,),
    notice=(
        "the project writes the formula as the authors do, side * (shorter / longer * side), in the same order of "
        "operations. The last bit can decide a grid: of 90 x 35 pixels, 3 rows of 28 px tiles keep as much as 4 rows, "
        "and the short answer rounds in favour of 4."
    ),
)
