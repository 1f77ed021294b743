"""Draw arrays as pictures, with Pillow: a picture's grid, its tiles as the model sees them, the weights of a resampling."""

import math
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

GAP = 6
"""Pixels between tiles."""
CELL = 24
"""Height and width of the smallest cell in pixels: its number, with a margin, takes 20."""
LINE = (255, 0, 255)
PAPER = (255, 255, 255)


def draw_grid(picture: UInt8[np.ndarray, "height width 3"], grid: tuple[int, int]) -> "Image.Image":
    """Draw the lines of its grid (rows, columns) into the picture, and number the tiles.

    A small picture is enlarged by a whole factor: until it is 256 pixels high or wide, and each cell has room for its number.
    Tile 0 is the thumbnail of the whole picture, so the numbers begin at 1; a picture of one tile is its own tile 0.
    """
    from PIL import Image, ImageDraw

    height, width, _ = picture.shape
    rows, columns = grid
    factor = math.ceil(max(1, 256 / max(height, width), rows * CELL / height, columns * CELL / width))
    image = Image.fromarray(picture).resize((width * factor, height * factor), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(image)
    ys, xs = np.linspace(0, image.height - 1, rows + 1), np.linspace(0, image.width - 1, columns + 1)
    for y in ys:
        draw.line((0, y, image.width, y), fill=LINE)
    for x in xs:
        draw.line((x, 0, x, image.height), fill=LINE)
    first = 0 if rows * columns == 1 else 1
    for row in range(rows):
        for column in range(columns):
            _label(draw, (xs[column] + 3, ys[row] + 3), str(first + row * columns + column))
    return image


def draw_tiles(pixel_values: Float[np.ndarray, "tiles 3 side side"], grid: tuple[int, int]) -> "Image.Image":
    """Draw one picture's tiles, laid out as they were cut, the thumbnail (tile 0) to their left; stretch the contrast over all.

    `pixel_values` are those of the image processor: what the model sees, after resizing and normalising.
    """
    from PIL import Image, ImageDraw

    low, high = float(pixel_values.min()), float(pixel_values.max())
    levels = np.rint((pixel_values - low) * (255 / max(high - low, 1e-12))).astype(np.uint8).transpose(0, 2, 3, 1)
    rows, columns = grid
    step = levels.shape[1] + GAP
    first = 0 if len(levels) == 1 else 1
    image = Image.new("RGB", ((columns + first) * step + GAP, rows * step + GAP), PAPER)
    draw = ImageDraw.Draw(image)
    places = [(0, 0)] if first else []
    places += [(row, column + first) for row in range(rows) for column in range(columns)]
    for number, (tile, (row, column)) in enumerate(zip(levels, places, strict=True)):
        corner = (GAP + column * step, GAP + row * step)
        image.paste(Image.fromarray(tile), corner)
        _label(draw, (corner[0] + 3, corner[1] + 3), str(number))
    return image


def draw_weights(weights: Float[np.ndarray, "outputs inputs"]) -> "Image.Image":
    """Draw the matrix of a resampling pass, a row for each new pixel: white is 0, red above, blue below; cells of 4 to 16
    pixels.
    """
    from PIL import Image

    strength = np.clip(np.abs(weights) / max(float(np.abs(weights).max()), 1e-12), 0, 1)[..., None]
    colour = np.where(weights[..., None] > 0, (215, 40, 40), (45, 80, 215))
    cells = np.rint(255 + strength * (colour - 255.0)).astype(np.uint8)
    side = min(16, max(4, 512 // max(weights.shape)))
    return Image.fromarray(cells.repeat(side, axis=0).repeat(side, axis=1))


def _label(draw: "ImageDraw.ImageDraw", place: tuple[float, float], text: str) -> None:
    box = draw.textbbox(place, text)
    draw.rectangle((box[0] - 2, box[1] - 2, box[2] + 2, box[3] + 2), fill=PAPER)
    draw.text(place, text, fill=LINE)
