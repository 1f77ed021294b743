"""Requests about a scene, and the one right answer to each."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ovis2_ref.tiny.training.scenes import COLOURS, KINDS, Scene, Shape

NUMBERS = ("No", "One", "Two", "Three")


@dataclass(frozen=True)
class Question:
    """A request of some kind and its answer, to the letter."""

    kind: str
    request: str
    answer: str


def with_article(name: str) -> str:
    """Put "a" or "an" before a name."""
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def listed(shapes: tuple[Shape, ...]) -> str:
    """List shapes as a sentence: "A red circle, a blue square and an orange cross."."""
    names = [with_article(shape.name) for shape in shapes]
    text = names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
    return text[0].upper() + text[1:] + "."


def describe(scene: Scene, rng: np.random.Generator) -> Question:
    """Ask for all shapes, from left to right."""
    request = rng.choice(["Describe the image.", "Describe the picture.", "What do you see?"], p=[0.6, 0.2, 0.2])
    return Question("describe", str(request), listed(scene.shapes))


def count(scene: Scene, rng: np.random.Generator) -> Question:
    """Ask for the number of shapes."""
    request = rng.choice(["How many shapes are there?", "How many shapes do you see?"])
    return Question("count", str(request), f"{NUMBERS[len(scene.shapes)]}.")


def colour(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Ask for the colour of the only circle, square, triangle or cross."""
    known = [shape for shape in scene.shapes if sum(other.kind == shape.kind for other in scene.shapes) == 1]
    if not known:
        return None
    shape = known[rng.integers(len(known))]
    spelling = rng.choice(["colour", "color"])
    return Question("colour", f"What {spelling} is the {shape.kind}?", f"The {shape.kind} is {shape.colour}.")


def shape(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Ask for the kind of the only shape of a colour."""
    known = [shape for shape in scene.shapes if sum(other.colour == shape.colour for other in scene.shapes) == 1]
    if not known:
        return None
    shape = known[rng.integers(len(known))]
    return Question("shape", f"What shape is {shape.colour}?", f"{with_article(shape.kind).capitalize()}.")


def there(scene: Scene, rng: np.random.Generator) -> Question:
    """Ask whether a coloured shape is there. Half of the time it is; else half of the time its colour or its kind is."""
    names = {shape.name for shape in scene.shapes}
    if rng.random() < 0.5:
        name = str(rng.choice(sorted(names)))
    else:
        seen = scene.shapes[rng.integers(len(scene.shapes))]
        sort = rng.integers(4)
        colours = [seen.colour] if sort == 0 else list(COLOURS)
        kinds = [seen.kind] if sort == 1 else list(KINDS)
        absent = [f"{a} {b}" for a in colours for b in kinds if f"{a} {b}" not in names]
        name = str(rng.choice(absent))
    return Question("there", f"Is there {with_article(name)}?", "Yes." if name in names else "No.")


def beside(scene: Scene, rng: np.random.Generator) -> Question:
    """Ask what is left (or right) of a shape, where that is one shape or none."""
    side = str(rng.choice(["left", "right"]))
    shapes = scene.shapes if side == "left" else scene.shapes[::-1]
    place = int(rng.integers(min(2, len(shapes))))
    answer = "Nothing." if place == 0 else f"{with_article(shapes[place - 1].name).capitalize()}."
    return Question("beside", f"What is {side} of the {shapes[place].name}?", answer)


def order(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Ask whether one shape is left of another."""
    if len(scene.shapes) < 2:
        return None
    first, second = rng.choice(len(scene.shapes), size=2, replace=False)
    names = scene.shapes[first].name, scene.shapes[second].name
    return Question("order", f"Is the {names[0]} left of the {names[1]}?", "Yes." if first < second else "No.")


def end(scene: Scene, rng: np.random.Generator) -> Question:
    """Ask for the shape furthest left or furthest right."""
    side = str(rng.choice(["left", "right"]))
    found = scene.shapes[0 if side == "left" else -1]
    return Question("end", f"What is furthest {side}?", f"{with_article(found.name).capitalize()}.")


ASKERS: dict[str, Callable[[Scene, np.random.Generator], Question | None]] = {
    asker.__name__: asker for asker in (describe, count, colour, shape, there, beside, order, end)
}


def ask(scene: Scene, kind: str, rng: np.random.Generator) -> Question | None:
    """Draw a request of this kind about the scene; None where the scene doesn't allow one."""
    return ASKERS[kind](scene, rng)
