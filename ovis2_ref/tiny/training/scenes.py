"""Scenes of coloured shapes: drawn from a seed, rendered to a picture, and looked up cell by cell.

A scene holds up to three shapes that differ from each other in colour or kind. Everything about it follows from its seed.
Training uses seeds from `FIRST_TRAINING_SEED` on; the seeds below are kept for evaluation.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

FIRST_TRAINING_SEED = 1_000_000
DEVELOPMENT_SEED = 900_000
"""Seeds from here up to training's: scenes that are measured during training. Below: scenes that the result is judged by."""

COLOURS = {
    "red": (215, 40, 40),
    "green": (40, 160, 60),
    "blue": (45, 80, 215),
    "yellow": (240, 210, 40),
    "purple": (140, 60, 170),
    "orange": (245, 135, 30),
}
PURE_COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 128, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "purple": (128, 0, 128),
    "orange": (255, 165, 0),
}
"""The colours that drawing programs have under these names."""
GREY = "grey"
KINDS = ("circle", "square", "triangle", "cross")
COLOURED_SHAPES = tuple(f"{colour} {kind}" for colour in COLOURS for kind in KINDS)
GREY_SHAPES = tuple(f"{GREY} {kind}" for kind in KINDS)

BACKGROUND, UNSURE = 0, -100
SUPERSAMPLING = 4
COLUMN = 0.1
"""Centres of one column are less apart than this, in widths of the picture. All others are more than a quarter apart."""


@dataclass(frozen=True)
class Shape:
    """One shape. Lengths are in pixels of the picture; `x` grows to the right and `y` downwards."""

    kind: str
    colour: str
    x: float
    y: float
    radius: float
    rgb: tuple[int, int, int]

    @property
    def name(self) -> str:
        """Colour and kind, as in "red circle"."""
        return f"{self.colour} {self.kind}"

    def covers(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Say for each point (x, y) whether it lies in the shape."""
        u, v = (x - self.x) / self.radius, (y - self.y) / self.radius
        if self.kind == "circle":
            return u * u + v * v <= 1
        if self.kind == "square":
            return (abs(u) <= 0.9) & (abs(v) <= 0.9)
        if self.kind == "triangle":
            return (abs(u) <= (v + 1) / 1.9) & (v <= 0.9)
        return ((abs(u) <= 0.3) & (abs(v) <= 1)) | ((abs(v) <= 0.3) & (abs(u) <= 1))


@dataclass(frozen=True)
class Scene:
    """A picture to be drawn: its size in pixels, its background at the top and at the bottom, its shapes from left to right.

    Two shapes of one column go from top to bottom.
    """

    height: int
    width: int
    background: tuple[tuple[int, ...], tuple[int, ...]]
    shapes: tuple[Shape, ...]

    @property
    def is_column(self) -> bool:
        """True for two shapes one above the other, of which neither is left of the other."""
        return len(self.shapes) == 2 and abs(self.shapes[0].x - self.shapes[1].x) < COLUMN * self.width

    def render(self) -> np.ndarray:
        """Draw the scene, anti-aliased, as (height, width, 3) uint8."""
        top, bottom = (np.array(rgb, dtype=np.float64) for rgb in self.background)
        slope = np.linspace(0, 1, self.height)[:, None, None]
        canvas = np.broadcast_to(top + slope * (bottom - top), (self.height, self.width, 3)).copy()
        for shape in self.shapes:
            _paint(canvas, shape)
        return np.rint(canvas).astype(np.uint8)


def _paint(canvas: np.ndarray, shape: Shape) -> None:
    """Blend one shape into the canvas, in place, by the part of each pixel that it covers."""
    height, width = canvas.shape[:2]
    left, right = max(0, int(shape.x - shape.radius) - 1), min(width, int(shape.x + shape.radius) + 2)
    upper, lower = max(0, int(shape.y - shape.radius) - 1), min(height, int(shape.y + shape.radius) + 2)
    offsets = (np.arange(SUPERSAMPLING) + 0.5) / SUPERSAMPLING
    x = (np.arange(left, right)[:, None] + offsets).reshape(-1)
    y = (np.arange(upper, lower)[:, None] + offsets).reshape(-1)
    inside = shape.covers(x[None, :], y[:, None]).reshape(lower - upper, SUPERSAMPLING, right - left, SUPERSAMPLING)
    alpha = inside.mean(axis=(1, 3))[..., None]
    box = canvas[upper:lower, left:right]
    box += alpha * (np.array(shape.rgb) - box)


def draw_scene(seed: int, alike: str | None = None, least: int = 1) -> Scene:
    """Draw the scene of this seed: one to three shapes, at least `least`.

    With `alike` ("colour" or "kind") two of the shapes, if there are two, share that.
    """
    rng = np.random.default_rng(seed)
    height, width = _draw_size(rng)
    count = max(least, int(rng.integers(1, 4)))
    chosen = _draw_names(rng, count, alike)
    shapes = [
        Shape(kind, colour, x, y, radius, _shade(rng, COLOURS[colour], 12))
        for (colour, kind), (x, y, radius) in zip(chosen, _draw_places(rng, height, width, count), strict=True)
    ]
    return Scene(height, width, _draw_ground(rng), tuple(sorted(shapes, key=lambda shape: shape.x)))


def draw_wide_scene(seed: int, sort: str) -> Scene:
    """Draw what people draw first. `sort` is "large" (one shape, up to as large as the picture), "column" (one shape above
    another), "grey" (a picture without colours) or "empty" (no shape).

    Some have the pure colours of drawing programs, on white or on black. The picture has the size of `draw_scene`'s.
    """
    rng = np.random.default_rng(seed)
    height, width = _draw_size(rng)
    count = {"large": 1, "column": 2, "grey": int(rng.integers(1, 4)), "empty": 0}[sort]
    places = {"large": _draw_large, "column": _draw_column}.get(sort, _draw_places)
    is_grey, is_pure = sort == GREY or rng.random() < 0.15, rng.random() < 0.3
    top, bottom = _draw_ground(rng, extreme=0.3)
    if is_grey:
        top, bottom = (top[0],) * 3, (bottom[0],) * 3
    colours = PURE_COLOURS if is_pure else COLOURS
    chosen = _draw_names(rng, count, None)
    if is_grey:
        chosen = [(GREY, KINDS[i]) for i in rng.choice(len(KINDS), size=count, replace=False)]
    shapes = []
    for (colour, kind), place in zip(chosen, places(rng, height, width, count) if count else [], strict=True):
        rgb = _draw_grey(rng, top[0]) if is_grey else _shade(rng, colours[colour], 0 if is_pure else 12)
        shapes.append(Shape(kind, colour, *place, rgb))
    return Scene(
        height, width, (top, bottom), tuple(shapes if sort == "column" else sorted(shapes, key=lambda it: it.x))
    )


WIDE_SORTS = {"large": 0.35, "column": 0.3, "grey": 0.27, "empty": 0.08}
"""What `draw_wide_scene` draws, and how often in training."""
WIDE = 0.3
"""The part of training's scenes that are drawn so."""


def draw_training_scene(seed: int) -> Scene:
    """Draw a scene for the vision stage: more often than by chance two shapes are of one colour or of one kind."""
    return _wide_or(seed, lambda: draw_scene(seed, _draw_alike(seed, 0.35, 0.2)))


def draw_language_scene(seed: int) -> Scene:
    """Draw a scene for the language and the pictures stage: fewer shapes of one colour, and half as many shapes on their own.

    Where two of three shapes are red, "red" is right too often to learn from; and a single shape is easy.
    """
    return _wide_or(seed, lambda: draw_scene(seed, _draw_alike(seed, 0.1, 0.2), least=1 + seed % 2))


def draw_held_out_scene(seed: int) -> Scene:
    """Draw a scene for watching training: wide as often as in training."""
    return _wide_or(seed, lambda: draw_scene(seed))


def _wide_or(seed: int, usual: Callable[[], Scene]) -> Scene:
    rng = np.random.default_rng([seed, 5])
    if rng.random() >= WIDE:
        return usual()
    return draw_wide_scene(seed, str(rng.choice(list(WIDE_SORTS), p=list(WIDE_SORTS.values()))))


def _draw_alike(seed: int, in_colour: float, in_kind: float) -> str | None:
    """Draw what two shapes of a scene should share, with these probabilities."""
    sort = np.random.default_rng([seed, 2]).random()
    return "colour" if sort < in_colour else "kind" if sort < in_colour + in_kind else None


def size_of(seed: int) -> tuple[int, int]:
    """Return (height, width) of this seed's picture without drawing the rest."""
    return _draw_size(np.random.default_rng(seed))


def _draw_names(rng: np.random.Generator, count: int, alike: str | None) -> list[tuple[str, str]]:
    """Draw `count` different pairs of colour and kind, the first two alike in what `alike` says."""
    names = [(colour, kind) for colour in COLOURS for kind in KINDS]
    chosen = [names[i] for i in rng.choice(len(names), size=count, replace=False)]
    if alike and count > 1:
        shared = ("colour", "kind").index(alike)
        others = [name for name in names if name[shared] == chosen[0][shared] and name not in (chosen[0], *chosen[2:])]
        chosen[1] = others[rng.integers(len(others))]
    return chosen


def _draw_size(rng: np.random.Generator) -> tuple[int, int]:
    """Draw (height, width): the longer side from 48 to 208 pixels, at most twice the shorter one."""
    longer = float(rng.uniform(48, 66) if rng.random() < 0.3 else rng.uniform(66, 208))
    shorter = longer / float(np.exp(rng.uniform(0, np.log(2))))
    sides = round(longer), max(36, round(shorter))
    return sides if rng.random() < 0.5 else sides[::-1]


def _draw_ground(rng: np.random.Generator, extreme: float = 0.0) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Draw the background at the top and at the bottom: light or dark; with the probability `extreme` white, or rarely black."""
    if extreme and rng.random() < extreme:
        level = 255 if rng.random() < 0.8 else 0
        return (level,) * 3, (level,) * 3
    level = int(rng.integers(200, 250) if rng.random() < 0.6 else rng.integers(15, 70))
    top = _shade(rng, (level,) * 3, 6)
    return top, _shade(rng, top, 12)


def _draw_grey(rng: np.random.Generator, ground: int) -> tuple[int, int, int]:
    """Draw a grey that differs from the ground's."""
    levels = [level for level in range(40, 216) if abs(level - ground) >= 60]
    return (int(rng.choice(levels)),) * 3


def _draw_large(rng: np.random.Generator, height: int, width: int, count: int) -> list[tuple[float, float, float]]:
    """Draw (x, y, radius) of one shape: up to 0.48 of the shorter side, anywhere inside the picture."""
    radius = float(rng.uniform(0.2, 0.48)) * min(height, width)
    x, y = (rng.uniform(min(radius + 0.5, side / 2), max(side - radius - 0.5, side / 2)) for side in (width, height))
    return [(float(x), float(y), radius)]


def _draw_column(rng: np.random.Generator, height: int, width: int, count: int) -> list[tuple[float, float, float]]:
    """Draw (x, y, radius) of two shapes, one above the other."""
    longer, shorter = max(height, width), min(height, width)
    smallest = max(5.5, 0.095 * longer)
    largest = max(smallest + 0.3, min(0.26 * shorter, height / 4 - 2))
    while True:
        radius = rng.uniform(smallest, largest, size=2)
        room = radius.max() + 1
        middle = rng.uniform(room, width - room)
        x = np.clip(middle + rng.uniform(-0.04, 0.04, size=2) * width, radius + 0.5, width - radius - 0.5)
        y = np.sort(rng.uniform(radius + 1, height - radius - 1))
        if y[1] - y[0] > radius.sum() + 0.03 * longer and (y + radius < height).all() and (y > radius).all():
            return list(zip(x.tolist(), y.tolist(), radius.tolist(), strict=True))


def _draw_places(rng: np.random.Generator, height: int, width: int, count: int) -> list[tuple[float, float, float]]:
    """Draw (x, y, radius) for each shape, inside the picture, apart from each other, with no doubt about which is left.

    Centres are more than a quarter of the width apart horizontally, so that left and right leave no doubt, even in
    the thumbnail. Radii are large enough for the kind to be told in the thumbnail.
    """
    longer, shorter = max(height, width), min(height, width)
    smallest, spacing = max(5.5, 0.095 * longer), 0.27 * width
    largest = max(smallest + 0.3, min(0.26 * shorter, (width - (count - 1) * spacing) / 2 - 2))
    while True:
        radius = rng.uniform(smallest, largest, size=count)
        room = width - 2 * (largest + 1) - (count - 1) * spacing
        x = largest + 1 + np.arange(count) * spacing + np.sort(rng.uniform(0, max(room, 0), size=count))
        y = rng.uniform(radius + 1, height - radius - 1)
        first, second = np.triu_indices(count, 1)
        apart_x, apart_y = abs(x[first] - x[second]), abs(y[first] - y[second])
        reach = radius[first] + radius[second] + 0.03 * longer
        if ((apart_x > reach) | (apart_y > reach)).all():
            return list(zip(x.tolist(), y.tolist(), radius.tolist(), strict=True))


def _shade(rng: np.random.Generator, rgb: tuple[int, ...], spread: int) -> tuple[int, int, int]:
    """Vary a colour by up to `spread` levels in each channel."""
    red, green, blue = np.clip(np.array(rgb) + rng.integers(-spread, spread + 1, size=3), 0, 255).tolist()
    return red, green, blue


def cell_coverage(scene: Scene, rows: int, columns: int, samples: int = 6) -> np.ndarray:
    """Cut the picture into rows x columns equal cells and say how much of each is covered by each shape.

    Returns (shapes, rows, columns), fractions from 0 to 1.
    """
    x = (np.arange(columns * samples) + 0.5) * scene.width / (columns * samples)
    y = (np.arange(rows * samples) + 0.5) * scene.height / (rows * samples)
    inside = np.zeros((len(scene.shapes), rows * samples, columns * samples), bool)
    for number, shape in enumerate(scene.shapes):
        inside[number] = shape.covers(x[None, :], y[:, None])
    return inside.reshape(len(inside), rows, samples, columns, samples).mean(axis=(2, 4))


def cell_of_centre(scene: Scene, rows: int, columns: int) -> np.ndarray:
    """Cut the picture into rows x columns equal cells and say in which of them each shape's centre lies.

    Returns (shapes, rows, columns), booleans.
    """
    row = np.array([shape.y / scene.height * rows for shape in scene.shapes]).astype(int)
    column = np.array([shape.x / scene.width * columns for shape in scene.shapes]).astype(int)
    return (row[:, None, None] == np.arange(rows)[:, None]) & (column[:, None, None] == np.arange(columns))


def chance_of_centre(scene: Scene, rows: int, columns: int, blur: float) -> np.ndarray:
    """Say how likely each shape's centre lies in each cell to an eye that misses it by about `blur` cells.

    The error is logistic in each direction: a centre at the border of two cells lies in each with probability 1/2.
    Returns (shapes, rows, columns).
    """
    y = np.array([shape.y / scene.height * rows for shape in scene.shapes])
    x = np.array([shape.x / scene.width * columns for shape in scene.shapes])
    return _chance_between(y, rows, blur)[:, :, None] * _chance_between(x, columns, blur)[:, None, :]


def _chance_between(places: np.ndarray, cells: int, blur: float) -> np.ndarray:
    """Say how likely each place, counted in cells, lies in each of the cells of a line: (places, cells)."""
    beyond = 0.5 + 0.5 * np.tanh((places[:, None] - np.arange(1, cells)) / (2 * blur))
    return -np.diff(beyond, axis=1, prepend=1, append=0)


def by_tile(cells: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Order the cells of a whole picture, (shapes, rows, columns), by the tiles of `grid`: (shapes, tiles, cells of a tile)."""
    rows, columns = grid
    shapes, height, width = cells.shape
    cells = cells.reshape(shapes, rows, height // rows, columns, width // columns).transpose(0, 1, 3, 2, 4)
    return cells.reshape(shapes, rows * columns, height // rows * (width // columns))
