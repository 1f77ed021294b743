"""What the walkthroughs share: load the tiny model, ask it, print a shape, compare with the model's own value, keep a picture."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ovis2_ref import TINY, Ovis2ForConditionalGeneration, Ovis2Processor
from ovis2_ref.tiny.training.scenes import COLOURED_SHAPES, Scene, by_tile, cell_coverage, cell_of_centre, draw_scene
from ovis2_ref.tools.draw import draw_tiles

OUT = Path(__file__).resolve().parent / "out"
"""Where pictures go. git ignores it."""
SCENE = draw_scene(3237)
"""A green cross, a blue square and a red circle; four tiles and a thumbnail. Training never saw it."""
SIZE, MARGIN = 14, 10
"""Height of letters, and space around pictures, in pixels."""


def load(**options) -> tuple[Ovis2ForConditionalGeneration, Ovis2Processor]:
    """Return the tiny model and its processor."""
    return Ovis2ForConditionalGeneration.from_pretrained(TINY, **options), Ovis2Processor.from_pretrained(TINY)


def ask(processor: Ovis2Processor, picture, question: str = "Describe the image."):
    """Return the model's inputs for a question about one picture: pixel_values, input_ids, attention_mask."""
    content = [{"type": "image"}, {"type": "text", "text": question}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    return processor(images=picture, text=text, return_tensors="np")


def answer(model, processor: Ovis2Processor, inputs) -> str:
    """Return what the model says to these inputs, word for word."""
    prompt = inputs["input_ids"].shape[1]
    return processor.decode(model.generate(**inputs, max_new_tokens=40)[0, prompt:], skip_special_tokens=True)


def shape(name: str, array: np.ndarray) -> None:
    """Print a value's name, shape and type."""
    print(f"{name:38} {array.shape!s:20} {array.dtype}")


def tile_picture(pixel_values: np.ndarray, tile: int) -> np.ndarray:
    """Return a tile's pixel values as bytes (side, side, 3), contrast stretched over all tiles."""
    low, high = pixel_values.min(), pixel_values.max()
    return np.uint8(255 * (pixel_values[tile] - low) / (high - low)).transpose(1, 2, 0)


def large_tiles(pixel_values: np.ndarray, grid: tuple[int, int]) -> Image.Image:
    """Draw the tiles as `draw_tiles` does, twice as large: tiles of 64 pixels are small on a projector."""
    tiles = draw_tiles(pixel_values, grid)
    return tiles.resize((2 * tiles.width, 2 * tiles.height), Image.Resampling.NEAREST)


def check(name: str, ours: np.ndarray, models: np.ndarray, tolerance: float = 1e-4) -> None:
    """Print three values and how far `ours` is from what the model made; stop if it is more than `tolerance` of its largest."""
    assert ours.shape == models.shape, f"{name}: the shape is {ours.shape}, the model's {models.shape}"
    error = float(np.abs(ours - models).max() / (np.abs(models).max() or 1.0))
    assert error <= tolerance, f"{name}: off by {error:.2g} of the largest value, more than {tolerance:g}"
    values = " ".join(f"{float(value):8.4f}" for value in ours.flat[:3])
    print(f"{name:34} {ours.shape!s:20} {values} ...  off by {error:.1e} of the largest (allowed {tolerance:g})")


def keep(picture: Image.Image, name: str) -> Image.Image:
    """Write the picture into `OUT`, and return it: a notebook shows what a cell returns."""
    OUT.mkdir(exist_ok=True)
    picture.save(OUT / f"{name}.png", optimize=True)
    print(f"picture: walkthroughs/out/{name}.png")
    return picture


def spotlight(picture: np.ndarray, weights: np.ndarray, side: int = 240, largest: float | None = None) -> Image.Image:
    """Draw the picture (h, w, 3), its longer edge `side` pixels, as bright in each cell as its weight (rows, columns).

    A weight of `largest` (default: the largest of them) is fully lit, one of 0 is dark.
    """
    height, width, _ = picture.shape
    size = (round(width * side / max(height, width)), round(height * side / max(height, width)))
    enlarged = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
    levels = np.rint(40 + 215 * np.clip(weights / (largest or float(weights.max()) or 1.0), 0, 1)).astype(np.uint8)
    light = np.asarray(Image.fromarray(levels).resize(size, Image.Resampling.NEAREST))[..., None]
    return Image.fromarray(np.rint(enlarged * (light / 255)).astype(np.uint8))


def panel(pictures: Sequence[Image.Image], caption: str, names: Sequence[str] = (), columns: int = 4) -> Image.Image:
    """Lay pictures side by side, `columns` in a row, each under its name, and all of them under the caption."""
    names = names or [""] * len(pictures)
    lines = [_named(pictures[i : i + columns], names[i : i + columns]) for i in range(0, len(pictures), columns)]
    width = max(300, *(sum(cell.width + MARGIN for cell in line) + MARGIN for line in lines))
    stack = [_text(caption, width - 2 * MARGIN), *(_row(line) for line in lines)]
    sheet = Image.new("RGB", (width, sum(part.height + MARGIN for part in stack) + MARGIN), "white")
    y = MARGIN
    for part in stack:
        sheet.paste(part, (MARGIN, y))
        y += part.height + MARGIN
    return sheet


def _named(pictures: Sequence[Image.Image], names: Sequence[str]) -> list[Image.Image]:
    """Put each name above its picture; all names of a row are as high as the highest."""
    labels = [_text(name, max(picture.width, 120)) for picture, name in zip(pictures, names, strict=True)]
    top, cells = max(label.height for label in labels), []
    for picture, label in zip(pictures, labels, strict=True):
        cells.append(Image.new("RGB", (max(picture.width, label.width), picture.height + top), "white"))
        cells[-1].paste(label, (0, 0))
        cells[-1].paste(picture, (0, top))
    return cells


def _row(pictures: Sequence[Image.Image]) -> Image.Image:
    row = Image.new("RGB", (sum(one.width + MARGIN for one in pictures), max(one.height for one in pictures)), "white")
    x = 0
    for one in pictures:
        row.paste(one, (x, 0))
        x += one.width + MARGIN
    return row


def _text(text: str, width: int) -> Image.Image:
    """Return the text in lines of at most `width` pixels, cut between words; a picture of no height for no text."""
    font, lines = ImageFont.load_default(SIZE), [""] if text.strip() else []
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    label = Image.new("RGB", (width, len(lines) * (SIZE + 4)), "white")
    ImageDraw.Draw(label).multiline_text((0, 0), "\n".join(lines), "black", font, spacing=4)
    return label


def coverage(scene: Scene, grid: tuple[int, int], per_side: int = 4) -> np.ndarray:
    """Return how much of each visual token's cell each shape covers, from 0 to 1: (shapes, tiles, tokens), in the model's order.

    `grid` is (rows, columns) of tiles. The thumbnail comes first, unless the picture is a single tile.
    """
    return _of_tiles(cell_coverage, scene, grid, per_side)


def centres(scene: Scene, grid: tuple[int, int], per_side: int = 4) -> np.ndarray:
    """Say for each visual token's cell whether each shape's centre lies in it: (shapes, tiles, tokens), as `coverage` does."""
    return _of_tiles(cell_of_centre, scene, grid, per_side)


def _of_tiles(measure: Callable, scene: Scene, grid: tuple[int, int], per_side: int) -> np.ndarray:
    grids = dict.fromkeys([(1, 1), grid])
    parts = [by_tile(measure(scene, rows * per_side, columns * per_side), (rows, columns)) for rows, columns in grids]
    return np.concatenate(parts, axis=1)


def on_picture(values: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Return values of the cells of tiles (tiles, tokens), thumbnail left out, laid out as the tiles lie in the picture."""
    rows, columns = grid
    side = int(values.shape[-1] ** 0.5)
    tiles = values[-rows * columns :].reshape(rows, columns, side, side)
    return tiles.transpose(0, 2, 1, 3).reshape(rows * side, columns * side)


WORDS = [
    "ground",
    *(f"{name} {column + 1}{part}" for part in ("", " centre") for column in range(4) for name in COLOURED_SHAPES),
]
"""What the tiny model's first visual words were trained to mean: a coloured shape in one of a tile's four columns of cells,
some part of it or its centre."""

TESTS = OUT.parent.parent / "tests"
"""Where the authors' small checkpoint and golden values are: a clone has them, an installed package does not."""
