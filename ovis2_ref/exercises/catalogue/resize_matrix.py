"""The weights of a resize.

Row i of the matrix W holds the weights of new pixel i. With s = size_in / size_out and t = max(s, 1), the pixel's centre
lies at c = (i + 1/2) s among the old ones, and with f a filter that is cut off at its support r,

    w[i, j] = f((j + 1/2 - c) / t)   for   int(c - r t + 1/2) <= j < int(c + r t + 1/2),   0 elsewhere,

with j from 0 to size_in - 1, and every row divided by its sum. A picture that shrinks stretches the filter (t > 1): every
old pixel counts, which is what "antialias" means.
"""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Float

from ovis2_ref.exercises.exercise import Exercise, Inputs, wrong
from ovis2_ref.image import filters


def resize_matrix(
    size_in: int, size_out: int, kernel: Callable[[np.ndarray], np.ndarray], support: float
) -> Float[np.ndarray, "size_out size_in"]:
    """Return W for a filter `kernel`, a function of an array of distances, that is cut off at `support`."""
    scale = size_in / size_out
    stretch = max(scale, 1)
    centre = (np.arange(size_out)[:, None] + 0.5) * scale
    j = np.arange(size_in)
    first = (centre - support * stretch + 0.5).astype(int)
    end = (centre + support * stretch + 0.5).astype(int)
    weights = np.where((j >= first) & (j < end), kernel((j + 0.5 - centre) / stretch), 0)
    return weights / weights.sum(axis=1, keepdims=True)


def project(size_in: int, size_out: int, kernel: Callable[[np.ndarray], np.ndarray], support: float) -> np.ndarray:
    return filters.windows(size_in, size_out, filters.Filter(support, kernel)).matrix()


def box(x: np.ndarray) -> np.ndarray:
    """1 for -1/2 < x <= 1/2, 0 elsewhere."""
    return ((x > -0.5) & (x <= 0.5)).astype(float)


def bilinear(x: np.ndarray) -> np.ndarray:
    """1 - |x| for |x| < 1, 0 elsewhere."""
    return np.maximum(1 - np.abs(x), 0)


def bicubic(x: np.ndarray) -> np.ndarray:
    """The cubic filter of exercise `cubic`."""
    x = np.abs(x)
    return np.where(x < 1, 1.5 * x**3 - 2.5 * x**2 + 1, np.where(x < 2, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2, 0))


def bell(x: np.ndarray) -> np.ndarray:
    """exp(-x^2), which never becomes 0 by itself."""
    return np.exp(-x * x)


def cases(rng: np.random.Generator) -> Iterator[Inputs]:
    for size_in, size_out in ((2, 1), (2, 3), (3, 3), (4, 3), (5, 2), (3, 7), (9, 4), (12, 5)):
        yield {"size_in": size_in, "size_out": size_out, "kernel": bilinear, "support": 1.0}
        yield {"size_in": size_in, "size_out": size_out, "kernel": bicubic, "support": 2.0}
    for size_in, size_out in ((4, 2), (5, 3), (2, 4), (6, 4)):
        yield {"size_in": size_in, "size_out": size_out, "kernel": box, "support": 0.5}
    for size_in, size_out in ((3, 2), (2, 3), (5, 2), (7, 3), (4, 4), (3, 8)):
        yield {"size_in": size_in, "size_out": size_out, "kernel": bell, "support": 1.25}
    for support in (0.9975, 1.0025):  # windows that end just beside a pixel
        yield {"size_in": 2, "size_out": 2, "kernel": bell, "support": support}


EXERCISE = Exercise(
    answer=resize_matrix,
    expected=project,
    cases=cases,
    one_file="windows",
    minutes=15,
    hints=(
        "A column of centres, a row of old pixels: their difference has the shape of W.",
        (
            "centre has the shape (size_out, 1). Distances are divided by t, the window is widened by it, rows are "
            "normalised last."
        ),
        "np.where((j >= first) & (j < end), kernel((j + 0.5 - centre) / stretch), 0), then divide by the sums of the rows",
    ),
    wrong=(
        wrong(
            "no antialias",
            "A filter that isn't stretched skips pixels when a picture shrinks: t = max(s, 1).",
            ("max(scale, 1)", "1"),
        ),
        wrong(
            "stretched when enlarging",
            "A filter is never narrower than its support: t = max(s, 1).",
            ("max(scale, 1)", "scale"),
        ),
        wrong(
            "corners for centres",
            "The centre of pixel i lies at i + 1/2, so c = (i + 1/2) s.",
            ("(np.arange(size_out)[:, None] + 0.5) * scale", "np.arange(size_out)[:, None] * scale + 0.5"),
        ),
        wrong(
            "corners aligned",
            "That scales the first centre to the first and the last to the last (align_corners).",
            (
                "(np.arange(size_out)[:, None] + 0.5) * scale",
                "np.arange(size_out)[:, None] * ((size_in - 1) / max(size_out - 1, 1)) + 0.5",
            ),
        ),
        wrong(
            "rows not normalised",
            "Each row has a sum of 1, or the picture changes its brightness.",
            (" / weights.sum(axis=1, keepdims=True)", ""),
        ),
        wrong("columns normalised", "Each row has a sum of 1: a row makes one new pixel.", ("axis=1", "axis=0")),
        wrong("half a pixel off", "Old pixel j has its centre at j + 1/2.", ("j + 0.5 - centre", "j - centre")),
        wrong(
            "scale upside down",
            "s = size_in / size_out: how many old pixels go into a new one.",
            ("size_in / size_out", "size_out / size_in"),
        ),
        wrong(
            "window not stretched",
            "The window grows with the filter: r t, not r.",
            ("centre - support * stretch", "centre - support"),
            ("centre + support * stretch", "centre + support"),
        ),
        wrong(
            "distances not stretched",
            "The distance is divided by t before the filter sees it.",
            ("(j + 0.5 - centre) / stretch", "j + 0.5 - centre"),
        ),
        wrong(
            "transposed",
            "A row for each new pixel: (size_out, size_in).",
            (
                "return weights / weights.sum(axis=1, keepdims=True)",
                "return (weights / weights.sum(axis=1, keepdims=True)).T",
            ),
        ),
        wrong(
            "nearest",
            "Every old pixel in the window has a weight, by its distance.",
            ("weights = np.where(", "weights = np.where(j == centre.astype(int), 1.0, 0.0)\n    _ = np.where("),
        ),
        wrong(
            "windows of one size",
            "The window's ends are rounded on their own: int(c - r t + 1/2) and int(c + r t + 1/2).",
            ("(j >= first) & (j < end)", "(j >= first) & (j < first + int(2 * support * stretch))"),
        ),
        wrong(
            "no half pixels",
            "Pixel i covers i to i + 1: its centre is at i + 1/2, for new pixels and for old ones.",
            ("np.arange(size_out)[:, None] + 0.5)", "np.arange(size_out)[:, None])"),
            ("(j + 0.5 - centre)", "(j - centre)"),
        ),
    ),
    solution=(filters.windows, filters.Windows.matrix),
    notice=(
        "the project keeps the windows alone, a first pixel and its weights, and adds a row's weights from left to "
        "right, as Pillow's loop does: pairwise sums may differ in the last bit. The matrix is made only to be looked "
        "at."
    ),
)
