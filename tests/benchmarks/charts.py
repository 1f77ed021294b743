"""The benchmark's two charts, drawn with Pillow."""

from collections.abc import Mapping
from math import ceil, floor, log10
from typing import Any

from PIL import Image, ImageDraw, ImageFont

COLOURS = ("#3b6fb6", "#e08a2e", "#4f9d69")
INK, FAINT = "#222222", "#d0d0d0"
MOST = 1.6
"""The largest ratio that is drawn to scale."""


def ratio_chart(ratios: Mapping[str, Mapping[str, float]]) -> Image.Image:
    """A bar for each row of each shape: ours / transformers, so that what ends left of the line at 1 is faster or smaller."""
    rows = list(dict.fromkeys(row for shape in ratios.values() for row in shape))
    bar, left, top, width = 16, 210, 60, 560
    height = bar * len(ratios) + 12
    image, draw, font = _canvas(left + width + 70, top + height * len(rows) + 28)
    draw.text((left, 8), "ours / transformers: left of 1 is faster, or smaller", INK, font)
    for index, shape in enumerate(ratios):
        draw.rectangle((left + 150 * index, 33, left + 150 * index + 12, 45), COLOURS[index])
        draw.text((left + 150 * index + 18, 31), shape, INK, font)
    for tick in (0, 0.25, 0.5, 0.75, 1, 1.25, 1.5):
        x = left + width * tick / MOST
        draw.line((x, top, x, image.height - 26), INK if tick == 1 else FAINT, 2 if tick == 1 else 1)
        draw.text((x, image.height - 22), f"{tick:g}", INK, font, anchor="ma")
    for place, row in enumerate(rows):
        y = top + height * place + 6
        draw.text((left - 8, y + bar * len(ratios) / 2), row, INK, font, anchor="rm")
        for index, of_shape in enumerate(ratios.values()):
            if row in of_shape:
                end, bar_top = left + width * min(of_shape[row] / MOST, 1), y + bar * index
                draw.rectangle((left, bar_top, end, bar_top + bar - 3), COLOURS[index])
                draw.text((end + 5, bar_top + bar / 2 - 1), f"{of_shape[row]:.2f}", INK, font, anchor="lm")
    return image


def growth_chart(curves: Mapping[str, Mapping[str, Any]]) -> Image.Image:
    """A panel for each series: seconds over size, both logarithmic, with the fitted exponent of each program."""
    side, margin = 300, 70
    image, draw, font = _canvas((side + margin) * len(curves) + 20, side + 110)
    for place, (series, programs) in enumerate(curves.items()):
        left, top = margin + (side + margin) * place, 30
        xs = _axis([size for curve in programs.values() for size in curve.sizes])
        ys = _axis([seconds for curve in programs.values() for seconds in curve.seconds])

        def point(size: float, seconds: float, left: int = left, xs: Any = xs, ys: Any = ys) -> tuple[float, float]:
            x, y = ((log10(v) - a) / (b - a) for v, (a, b) in ((size, xs), (seconds, ys)))
            return left + side * x, 30 + side * (1 - y)

        for power in range(xs[0], xs[1] + 1):
            x, _ = point(10.0**power, 10.0 ** ys[0])
            draw.line((x, top, x, top + side), FAINT)
            draw.text((x, top + side + 4), f"{10**power:,}", INK, font, anchor="ma")
        for power in range(ys[0], ys[1] + 1):
            _, y = point(10.0 ** xs[0], 10.0**power)
            draw.line((left, y, left + side, y), FAINT)
            draw.text((left - 6, y), f"{10.0**power:g} s", INK, font, anchor="rm")
        draw.text((left + side / 2, 8), series, INK, font, anchor="ma")
        for index, (program, curve) in enumerate(programs.items()):
            points = [point(*pair) for pair in zip(curve.sizes, curve.seconds, strict=True)]
            draw.line(points, COLOURS[index], 2)
            for x, y in points:
                draw.ellipse((x - 3, y - 3, x + 3, y + 3), COLOURS[index])
            label = f"{program}: size^{curve.exponent:.2f}"
            draw.text((left, top + side + 26 + 18 * index), label, COLOURS[index], font)
    return image


def _axis(values: list[float]) -> tuple[int, int]:
    """The powers of ten around all of the values."""
    return floor(log10(min(values))), ceil(log10(max(values)))


def _canvas(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw, Any]:
    image = Image.new("RGB", (width, height), "white")
    return image, ImageDraw.Draw(image), ImageFont.load_default(13)
