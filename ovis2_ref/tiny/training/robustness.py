"""Measure whether the model sees shapes drawn in other ways: `python -m ovis2_ref.tiny.training.robustness [--scenes 100]`.

Pillow draws the scenes of `evaluate` in ways that training never showed: with outlines, on other backgrounds, tilted,
saved as JPEG, smaller and larger. The table says how many answers are right to the letter for each.
"""

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ovis2_ref.tiny import TINY
from ovis2_ref.tiny.training.evaluate import Answerer, judge
from ovis2_ref.tiny.training.scenes import Scene, Shape

SMOOTHING = 4
OUTLINE_WIDTH, OUTLINE_COLOUR = 0.15, (20, 20, 20)
"""Width of an outline, as part of a shape's radius, and the colour of one around a filled shape."""
PASTELS = ((205, 225, 250), (250, 225, 205), (215, 245, 215), (245, 215, 235))
TURNS = np.linspace(0, 2 * np.pi, 64, endpoint=False)

OUTLINES = {
    "circle": [(float(np.cos(turn)), float(np.sin(turn))) for turn in TURNS],
    "square": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
    "triangle": [(0, -1), (1, 0.9), (-1, 0.9)],
    "cross": [
        (-0.3, -1), (0.3, -1), (0.3, -0.3), (1, -0.3), (1, 0.3), (0.3, 0.3),
        (0.3, 1), (-0.3, 1), (-0.3, 0.3), (-1, 0.3), (-1, -0.3), (-0.3, -0.3),
    ],
}  # fmt: skip
"""Corners of the shapes of radius 1."""


class Look:
    """A way to draw a scene.

    background: "plain", "pastel", "stripes", "clouds" or "grain". shapes: "filled", "filled, outlined" or "outlined".
    tilt: each shape is turned by up to so many degrees. longer: the longer side in pixels, where it isn't the scene's.
    smoothing: samples of a pixel a side. jpeg: the quality of a JPEG that the picture is saved as.
    """

    def __init__(
        self,
        background: str = "plain",
        shapes: str = "filled",
        tilt: float = 0,
        longer: int | None = None,
        smoothing: int = SMOOTHING,
        jpeg: int | None = None,
    ):
        self.background, self.shapes, self.tilt, self.longer = background, shapes, tilt, longer
        self.smoothing, self.jpeg = smoothing, jpeg

    def render(self, scene: Scene, seed: int) -> np.ndarray:
        """Draw a scene, (height, width, 3) uint8; random choices follow from the seed."""
        rng = np.random.default_rng([seed, 3])
        factor = (self.longer or max(scene.height, scene.width)) / max(scene.height, scene.width)
        height, width = round(scene.height * factor), round(scene.width * factor)
        large = height * self.smoothing, width * self.smoothing
        picture = Image.fromarray(background(self.background, large, scene.background[0], rng))
        for shape in scene.shapes:
            self._draw(ImageDraw.Draw(picture), shape, factor * self.smoothing, rng)
        picture = picture.resize((width, height), Image.Resampling.BOX)
        if self.jpeg:
            file = io.BytesIO()
            picture.save(file, "JPEG", quality=self.jpeg)
            picture = Image.open(file)
        return np.asarray(picture)

    def _draw(self, draw: ImageDraw.ImageDraw, shape: Shape, scale: float, rng: np.random.Generator) -> None:
        """Draw one shape, `scale` times as large as in the scene."""
        turn = np.deg2rad(rng.uniform(-self.tilt, self.tilt))
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        corners = np.array(OUTLINES[shape.kind]) @ rotation.T * shape.radius + (shape.x, shape.y)
        draw.polygon(
            [tuple(corner) for corner in corners * scale],
            fill=None if self.shapes == "outlined" else shape.rgb,
            outline=OUTLINE_COLOUR if self.shapes == "filled, outlined" else shape.rgb,
            width=1 if self.shapes == "filled" else max(1, round(OUTLINE_WIDTH * shape.radius * scale)),
        )


def background(kind: str, size: tuple[int, int], plain: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Fill (height, width, 3) uint8 with a background around the colour `plain`, or in a pastel."""
    height, width = size
    colour = np.array(PASTELS[rng.integers(len(PASTELS))] if kind == "pastel" else plain, dtype=np.float64)
    if kind == "stripes":
        change: np.ndarray | float = 15.0 * np.sign(np.sin(np.arange(height) * 16 * np.pi / height))[:, None, None]
    elif kind == "clouds":
        coarse = Image.fromarray(rng.normal(0, 12, size=(5, 5)).astype(np.float32))
        change = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))[..., None]
    elif kind == "grain":
        change = rng.normal(0, 30, size=(height, width, 3))
    else:
        change = 0.0
    return np.clip(np.broadcast_to(colour, (height, width, 3)) + change, 0, 255).astype(np.uint8)


LOOKS = {
    "filled, on a plain background": Look(),
    "not smoothed": Look(smoothing=1),
    "filled, with a dark outline": Look(shapes="filled, outlined"),
    "outline alone": Look(shapes="outlined"),
    "on a pastel background": Look("pastel"),
    "on stripes": Look("stripes"),
    "on clouds": Look("clouds"),
    "on grain": Look("grain"),
    "JPEG, quality 60": Look(jpeg=60),
    "shapes tilted by up to 5 degrees": Look(tilt=5),
    "shapes tilted by up to 15 degrees": Look(tilt=15),
    **{f"longer side {side} px": Look(longer=side) for side in (60, 100, 200, 400, 800)},
}


def main() -> None:
    """Read the command line, ask, and print a row for each look."""
    parser = argparse.ArgumentParser(description="Ask the tiny Ovis2 about scenes that are drawn in other ways.")
    parser.add_argument("--scenes", type=int, default=100, help="how many scenes of each look (default: 100)")
    parser.add_argument("--checkpoint", type=Path, default=TINY, help="folder of the checkpoint")
    given = parser.parse_args()
    answerer = Answerer(given.checkpoint)
    print(
        "| scenes drawn by Pillow | described right, per cent | all answers right, per cent |",
        "|---|---:|---:|",
        sep="\n",
    )
    for name, look in LOOKS.items():
        judged = list(judge(answerer.answer, range(given.scenes), look.render, name))
        right = [(question.kind, answer == question.answer) for _, question, answer in judged]
        described = np.mean([is_right for kind, is_right in right if kind == "describe"])
        print(
            f"| {name} | {100 * described:.0f} | {100 * np.mean([is_right for _, is_right in right]):.1f} |", flush=True
        )


if __name__ == "__main__":
    main()
