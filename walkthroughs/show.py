"""What the walkthroughs share: load the tiny model, ask it, print a shape, compare with the model's own value, keep a picture."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from ovis2_ref import TINY, Ovis2ForConditionalGeneration, Ovis2Processor
from ovis2_ref.tiny.training.scenes import COLOURED_SHAPES, Scene, by_tile, cell_coverage, cell_of_centre, draw_scene

OUT = Path(__file__).resolve().parent / "out"
"""Where pictures go. git ignores it."""
SCENE = draw_scene(3237)
"""A green cross, a blue square and a red circle; four tiles and a thumbnail. Training never saw it."""


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


def check(name: str, ours: np.ndarray, models: np.ndarray, tolerance: float = 1e-4) -> None:
    """Print how far `ours` is from the value that the model made; stop if it is more than `tolerance` of its largest."""
    assert ours.shape == models.shape, f"{name}: the shape is {ours.shape}, the model's {models.shape}"
    error = float(np.abs(ours - models).max() / (np.abs(models).max() or 1.0))
    assert error <= tolerance, f"{name}: off by {error:.2g} of the largest value, more than {tolerance:g}"
    print(f"{name:38} {ours.shape!s:20} agrees within {tolerance:g} of the largest value")


def keep(picture: Image.Image, name: str) -> Image.Image:
    """Write the picture into `OUT`, and return it: a notebook shows what a cell returns."""
    OUT.mkdir(exist_ok=True)
    picture.save(OUT / f"{name}.png", optimize=True)
    print(f"picture: walkthroughs/out/{name}.png")
    return picture


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
