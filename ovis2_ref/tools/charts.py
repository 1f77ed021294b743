"""Charts of numbers, with Pillow: heat maps, pictures lit by weights, curves, bars, and panels of pictures with captions.

Every chart carries its caption and its legend, so that it can be read on its own.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

PAPER, INK, GREY = (255, 255, 255), (25, 25, 25), (215, 215, 215)
SERIES = ((30, 90, 200), (215, 50, 40), (30, 140, 70), (235, 140, 20), (130, 60, 170), (90, 90, 90))
"""Colours of curves, in their order."""
HOT, COLD = (150, 20, 90), (20, 80, 180)
"""The colours of the largest positive and negative values; 0 is white."""
SIZE, MARGIN = 14, 10
"""Height of letters, and space around things, in pixels."""


def colours(values: Float[np.ndarray, "*shape"], largest: float) -> UInt8[np.ndarray, "*shape 3"]:
    """Return a colour for every value: white at 0, `HOT` at `largest` and above, `COLD` at -`largest` and below."""
    strength = np.clip(np.abs(values) / (largest or 1.0), 0, 1)[..., None]
    target = np.where(np.asarray(values)[..., None] < 0, COLD, HOT)
    return np.rint(255 + strength * (target - 255.0)).astype(np.uint8)


def heatmap(
    values: Float[np.ndarray, "rows columns"],
    caption: str,
    rows: Sequence[str] = (),
    columns: Sequence[str] = (),
    digits: int | None = None,
    cell: int = 0,
) -> Image.Image:
    """Draw a matrix, a square for each number, with its colour scale; `rows` and `columns` name them.

    `digits`: write the numbers into the squares, with so many decimals. `cell`: pixels of a square (0: as many as fit).
    """
    values = np.asarray(values, dtype=np.float64)
    height, width = values.shape
    side = cell or (44 if digits is not None else min(40, max(4, 480 // max(height, width))))
    largest = float(np.abs(values).max())
    squares = Image.fromarray(colours(values, largest).repeat(side, axis=0).repeat(side, axis=1))
    left = max((_width(name) for name in rows), default=0) + (MARGIN if rows else 0)
    top = _column_names_height(columns, side)
    chart = Image.new("RGB", (left + squares.width, top + squares.height), PAPER)
    chart.paste(squares, (left, top))
    draw = ImageDraw.Draw(chart)
    draw.rectangle((left, top, chart.width - 1, chart.height - 1), outline=GREY)
    for i, name in enumerate(rows):
        draw.text((left - MARGIN // 2, top + (i + 0.5) * side), name, INK, _font(), anchor="rm")
    _name_columns(chart, columns, (left, top), side)
    for i in range(height if digits is not None else 0):
        for j in range(width):
            ink = PAPER if abs(values[i, j]) > 0.6 * largest else INK
            place = (left + (j + 0.5) * side, top + (i + 0.5) * side)
            draw.text(place, f"{values[i, j]:.{digits}f}", ink, _font(SIZE - 2), anchor="mm")
    return panel([chart, _scale(values, largest)], caption)


def spotlight(
    picture: UInt8[np.ndarray, "height width 3"],
    weights: Float[np.ndarray, "rows columns"],
    side: int = 240,
    largest: float | None = None,
) -> Image.Image:
    """Draw the picture, its longer side `side` pixels, as bright in each cell as its weight.

    A weight of `largest` (default: the largest of them) is fully lit.
    """
    height, width, _ = picture.shape
    factor = side / max(height, width)
    size = (round(width * factor), round(height * factor))
    enlarged = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
    levels = np.rint(40 + 215 * np.clip(weights / (largest or float(weights.max()) or 1.0), 0, 1)).astype(np.uint8)
    light = np.asarray(Image.fromarray(levels).resize(size, Image.Resampling.NEAREST))[..., None]
    return Image.fromarray(np.rint(enlarged * (light / 255)).astype(np.uint8))


def curves(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]], caption: str, x_name: str, y_name: str
) -> Image.Image:
    """Draw up to six lines: a name for each, and its x and y. The axes begin and end with the smallest and largest values."""
    width, height, left, bottom = 620, 330, 70, 50
    chart = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(chart)
    xs = np.concatenate([np.asarray(x, float) for x, _ in series.values()])
    ys = np.concatenate([np.asarray(y, float) for _, y in series.values()])
    x_ticks, y_ticks = _ticks(xs), _ticks(ys)

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0])
        up = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return left + across * (width - left - 25), height - bottom - up * (height - bottom - 30)

    for tick in x_ticks:
        x, y = place(tick, y_ticks[0])
        draw.line((x, y, x, place(tick, y_ticks[-1])[1]), GREY)
        draw.text((x, y + 5), f"{tick:g}", INK, _font(SIZE - 2), anchor="mt")
    for tick in y_ticks:
        x, y = place(x_ticks[0], tick)
        draw.line((x, y, place(x_ticks[-1], tick)[0], y), GREY)
        draw.text((x - 6, y), f"{tick:g}", INK, _font(SIZE - 2), anchor="rm")
    draw.text(((left + width) / 2, height - 8), x_name, INK, _font(), anchor="mb")
    draw.text((8, 4), y_name, INK, _font(), anchor="lt")
    for (across, up), colour in zip(series.values(), SERIES, strict=False):
        points = [place(a, b) for a, b in zip(across, up, strict=True)]
        draw.line(points, colour, width=3, joint="curve")
        for a, b in points if len(points) < 40 else []:
            draw.ellipse((a - 3, b - 3, a + 3, b + 3), colour)
    return panel([chart, _legend(list(series))], caption)


def bars(values: Mapping[str, float], caption: str, digits: int = 2) -> Image.Image:
    """Draw a bar for each value, its name to its left and its number behind it; values are 0 or above."""
    left, length, step = max(_width(name) for name in values) + MARGIN, 340, 26
    largest = max(values.values()) or 1.0
    chart = Image.new("RGB", (left + length + 70, step * len(values)), PAPER)
    draw = ImageDraw.Draw(chart)
    for i, (name, value) in enumerate(values.items()):
        y, end = i * step, left + length * value / largest
        draw.rectangle((left, y + 4, end, y + step - 5), SERIES[0])
        draw.text((left - 6, y + step / 2), name, INK, _font(), anchor="rm")
        draw.text((end + 6, y + step / 2), f"{value:.{digits}f}", INK, _font(), anchor="lm")
    return panel([chart], caption)


def panel(pictures: Sequence[Image.Image], caption: str, names: Sequence[str] = (), columns: int = 4) -> Image.Image:
    """Lay pictures side by side, `columns` in a row, each under its name, and all of them under the caption."""
    names = names or [""] * len(pictures)
    lines = [_named(pictures[i : i + columns], names[i : i + columns]) for i in range(0, len(pictures), columns)]
    width = max(sum(cell.width + MARGIN for cell in line) for line in lines) + MARGIN
    title = _wrapped(caption, max(width - 2 * MARGIN, 300))
    width = max(width, max(_width(line) for line in title) + 2 * MARGIN)
    top = len(title) * (SIZE + 5) + 2 * MARGIN
    sheet = Image.new("RGB", (width, top + sum(max(c.height for c in line) + MARGIN for line in lines)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for i, text in enumerate(title):
        draw.text((MARGIN, MARGIN + i * (SIZE + 5)), text, INK, _font())
    y = top
    for line in lines:
        x = MARGIN
        for cell in line:
            sheet.paste(cell, (x, y))
            x += cell.width + MARGIN
        y += max(cell.height for cell in line) + MARGIN
    return sheet


def _font(size: int = SIZE) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _width(text: str) -> int:
    return int(_font().getlength(text)) + 1


def _wrapped(text: str, width: int) -> list[str]:
    """Cut the text into lines of at most `width` pixels, between words."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and _width(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _named(pictures: Sequence[Image.Image], names: Sequence[str]) -> list[Image.Image]:
    """Put the names above the pictures of one row, all names as high as the highest."""
    if not any(names):
        return list(pictures)
    texts = [_wrapped(name, max(picture.width, 120)) for picture, name in zip(pictures, names, strict=True)]
    height = max(map(len, texts)) * (SIZE + 4) + 4
    cells = []
    for picture, lines in zip(pictures, texts, strict=True):
        cell = Image.new("RGB", (max(picture.width, *map(_width, lines)), picture.height + height), PAPER)
        for i, line in enumerate(lines):
            ImageDraw.Draw(cell).text((0, i * (SIZE + 4)), line, INK, _font())
        cell.paste(picture, (0, height))
        cells.append(cell)
    return cells


def _column_names_height(columns: Sequence[str], side: int) -> int:
    if not columns:
        return 0
    longest = max(map(_width, columns))
    return (longest if longest > side else SIZE) + MARGIN


def _name_columns(chart: Image.Image, columns: Sequence[str], corner: tuple[int, int], side: int) -> None:
    """Write the names of columns above them: upright where they don't fit, and read from below."""
    upright = any(_width(name) > side for name in columns)
    for j, name in enumerate(columns):
        x = round(corner[0] + (j + 0.5) * side)
        if not upright:
            ImageDraw.Draw(chart).text((x, corner[1] - 8), name, INK, _font(), anchor="ms")
            continue
        label = Image.new("RGB", (_width(name), SIZE + 4), PAPER)
        ImageDraw.Draw(label).text((0, 0), name, INK, _font())
        label = label.rotate(90, expand=True)
        chart.paste(label, (x - label.width // 2, corner[1] - label.height - 3))


def _scale(values: Float[np.ndarray, "rows columns"], largest: float) -> Image.Image:
    """Draw the bar that says which colour is which value."""
    low = -largest if values.min() < 0 else 0.0
    steps = np.linspace(largest, low, 120)
    bar = Image.fromarray(colours(steps[:, None], largest).repeat(16, axis=1))
    chart = Image.new("RGB", (16 + 75, 120 + 2 * SIZE), PAPER)
    chart.paste(bar, (0, SIZE))
    draw = ImageDraw.Draw(chart)
    draw.rectangle((0, SIZE, 16, SIZE + 120), outline=GREY)
    for value, y in ((largest, SIZE), (0.0, SIZE + 120 * largest / ((largest - low) or 1.0)), (low, SIZE + 120)):
        draw.text((22, y), f"{value:.3g}", INK, _font(SIZE - 2), anchor="lm")
    return chart


def _legend(names: Sequence[str]) -> Image.Image:
    chart = Image.new("RGB", (max(map(_width, names)) + 30, len(names) * (SIZE + 8)), PAPER)
    draw = ImageDraw.Draw(chart)
    for i, (name, colour) in enumerate(zip(names, SERIES, strict=False)):
        y = i * (SIZE + 8) + SIZE / 2
        draw.line((0, y, 20, y), colour, width=4)
        draw.text((27, y), name, INK, _font(), anchor="lm")
    return chart


def _ticks(values: Float[np.ndarray, " n"]) -> list[float]:
    """Return some four to eight round numbers, from below the smallest value to above the largest."""
    low, high = float(values.min()), float(values.max())
    rough = (high - low or 1.0) / 5
    step = min((f * 10 ** np.floor(np.log10(rough)) for f in (1, 2, 5, 10)), key=lambda s: abs(s - rough))
    first, last = np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9)
    return [float(round(i * step, 12)) for i in np.arange(first, max(last, first + 1) + 1)]
