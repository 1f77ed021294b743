"""The plots of the walkthroughs, by matplotlib: curves, bars and matrices, each returned as a picture. Change them as you like.

The colours are Okabe and Ito's, which colour-blind people can tell apart; curves differ in their dashes and marks, too.
"""

import io
import sys
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PIL import Image

try:
    from matplotlib.figure import Figure
except ImportError:
    sys.exit("the walkthroughs draw with matplotlib, which is missing: pip install '.[walkthroughs]'")

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#555555")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)))
MARKS = ("o", "s", "^", "D", "v", "x")
WIDTH, SIZE, DPI = 8.0, 11, 100
"""Inches and dots an inch: a picture of 800 dots is readable in a notebook and on a projector."""


def curves(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    caption: str,
    x_name: str,
    y_name: str,
    log: bool = False,
    names: Sequence[str] = (),
) -> Image.Image:
    """Draw up to six lines: a name for each, its x and its y; `log` for a logarithmic y axis, `names` of x = 0, 1, ..."""
    figure, axes = _figure(4.2, caption)
    for (name, (x, y)), colour, dash, mark in zip(series.items(), COLOURS, DASHES, MARKS, strict=False):
        marked = mark if len(x) < 40 else None
        axes.plot(x, y, color=colour, linestyle=dash, marker=marked, markersize=5, linewidth=2, label=name)
    axes.set(xlabel=x_name, ylabel=y_name, yscale="log" if log else "linear")
    if names:
        axes.set_xticks(range(len(names)), names, rotation=35, ha="right")
    axes.grid(alpha=0.3)
    if len(series) > 1:
        axes.legend()
    return _picture(figure)


def bars(values: Mapping[str, float], caption: str, x_name: str, digits: int = 2, log: bool = False) -> Image.Image:
    """Draw a bar for each value, its name to its left and its number behind it; `log` for a logarithmic axis.

    `digits` are decimals, or, on a logarithmic axis, digits in all.
    """
    figure, axes = _figure(1.3 + 0.32 * len(values), caption)
    drawn = axes.barh(list(values), list(values.values()), color=COLOURS[0], height=0.7)
    axes.bar_label(drawn, [f"{value:.{digits}{'g' if log else 'f'}}" for value in values.values()], padding=4)
    axes.set(xlabel=x_name, xscale="log" if log else "linear")
    axes.margins(x=0.2)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    return _picture(figure)


def heatmap(
    values: np.ndarray,
    caption: str,
    y_name: str,
    x_name: str,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    digits: int | None = None,
) -> Image.Image:
    """Draw a matrix (rows, columns) as coloured cells with their scale; `digits` writes the numbers into the cells.

    0 is white, or light where no value is below 0. Cells are squares, unless the matrix is far from one.
    """
    values = np.asarray(values, dtype=float)
    height, width = values.shape
    even = 0.4 < height / width < 2.5
    figure, axes = _figure(min(7.5, max(2.6, 0.75 * WIDTH * (height / width if even else 0.45) + 1.0)), caption)
    largest = float(np.abs(values).max()) or 1.0
    low, colours = (-largest, "RdBu_r") if values.min() < 0 else (0.0, "Blues")
    drawn = axes.imshow(
        values, colours, vmin=low, vmax=largest, aspect="equal" if even else "auto", interpolation="nearest"
    )
    figure.colorbar(drawn, ax=axes, shrink=0.8)
    axes.set(xlabel=x_name, ylabel=y_name)
    _name_ticks(rows, axes.set_yticks)
    _name_ticks(columns, axes.set_xticks, rotation=90 if sum(map(len, columns)) > 120 else 0)
    for i, j in np.ndindex(values.shape) if digits is not None else ():
        ink = "white" if abs(values[i, j]) > 0.6 * largest else "black"
        axes.text(j, i, f"{values[i, j]:.{digits}f}", color=ink, ha="center", va="center", size=SIZE - 2)
    return _picture(figure)


def _figure(height: float, caption: str) -> tuple:
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    figure.suptitle(caption, size=SIZE + 1, wrap=True)
    return figure, figure.subplots()


def _name_ticks(names: Sequence[str], set_ticks: Callable[..., object], rotation: int = 0) -> None:
    """Write the names beside their rows or columns; leave out empty ones."""
    places = [i for i, name in enumerate(names) if name]
    set_ticks(places, [names[i] for i in places], rotation=rotation)


def _picture(figure: Figure) -> Image.Image:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return Image.open(file).convert("RGB")
