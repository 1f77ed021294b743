"""Requests about a scene, and the one right answer to each."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ovis2_ref.tiny.training.scenes import COLOURS, GREY, KINDS, Scene, Shape

NUMBERS = ("None", "One", "Two", "Three")


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
    """List shapes as a sentence: "A red circle, a blue square and an orange cross.", or "Nothing."."""
    if not shapes:
        return "Nothing."
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
    if names and rng.random() < 0.5:
        name = str(rng.choice(sorted(names)))
    else:
        seen = scene.shapes[rng.integers(len(scene.shapes))] if names else None
        sort = rng.integers(4)
        colours = [seen.colour] if seen and sort == 0 else _colours_of(scene)
        kinds = [seen.kind] if seen and sort == 1 else list(KINDS)
        absent = [f"{a} {b}" for a in colours for b in kinds if f"{a} {b}" not in names]
        name = str(rng.choice(absent))
    return Question("there", f"Is there {with_article(name)}?", "Yes." if name in names else "No.")


def _colours_of(scene: Scene) -> list[str]:
    """Return the colours to ask for: grey, too, in a picture without colours."""
    return [*COLOURS, *([GREY] if any(shape.colour == GREY for shape in scene.shapes) else [])]


def beside(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Ask what is left (or right) of a shape, where that is one shape or none."""
    if not scene.shapes or scene.is_column:
        return None
    side = str(rng.choice(["left", "right"]))
    shapes = scene.shapes if side == "left" else scene.shapes[::-1]
    place = int(rng.integers(min(2, len(shapes))))
    answer = "Nothing." if place == 0 else f"{with_article(shapes[place - 1].name).capitalize()}."
    return Question("beside", f"What is {side} of the {shapes[place].name}?", answer)


def order(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Ask whether one shape is left of another."""
    if len(scene.shapes) < 2 or scene.is_column:
        return None
    first, second = rng.choice(len(scene.shapes), size=2, replace=False)
    names = scene.shapes[first].name, scene.shapes[second].name
    return Question("order", f"Is the {names[0]} left of the {names[1]}?", "Yes." if first < second else "No.")


def end(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Ask for the shape furthest left or furthest right."""
    if not scene.shapes or scene.is_column:
        return None
    side = str(rng.choice(["left", "right"]))
    found = scene.shapes[0 if side == "left" else -1]
    return Question("end", f"What is furthest {side}?", f"{with_article(found.name).capitalize()}.")


def has_colour(scene: Scene, rng: np.random.Generator) -> Question | None:
    """Ask whether the only circle, square, triangle or cross has a colour; half of the time it has."""
    known = [shape for shape in scene.shapes if sum(other.kind == shape.kind for other in scene.shapes) == 1]
    if not known:
        return None
    shape = known[rng.integers(len(known))]
    others = [colour for colour in _colours_of(scene) if colour != shape.colour]
    shown = [other.colour for other in scene.shapes if other.colour != shape.colour]
    name = shape.colour if rng.random() < 0.5 else str(rng.choice(shown if shown and rng.random() < 0.5 else others))
    return Question("has_colour", f"Is the {shape.kind} {name}?", "Yes." if name == shape.colour else "No.")


ASKERS: dict[str, Callable[[Scene, np.random.Generator], Question | None]] = {
    asker.__name__: asker for asker in (describe, count, colour, shape, there, beside, order, end, has_colour)
}

OTHER_WORDS = {
    r"Describe the (?:image|picture)\.|What do you see\?": (
        "What is in the picture?", "What does the picture show?", "List the shapes.", "Tell me what you see.",
    ),
    r"How many shapes (?:are there|do you see)\?": (
        "How many shapes does the picture show?", "Count the shapes.", "What is the number of shapes?",
    ),
    r"What colou?r is the (.*)\?": (
        "Which colour is the {}?", "What is the colour of the {}?", "Which colour does the {} have?",
    ),
    r"What shape is (.*)\?": ("Which shape is {}?", "What is the {} shape?", "Name the {} shape."),
    r"Is there (.*)\?": ("Do you see {}?", "Does the picture show {}?", "Can you see {}?"),
    r"What is (left|right) of the (.*)\?": (
        "What is to the {} of the {}?", "Which shape is {} of the {}?", "What do you see {} of the {}?",
    ),
    r"Is the (.*) left of the (.*)\?": ("Is the {} to the left of the {}?", "Does the {} lie left of the {}?"),
    r"What is furthest (left|right)\?": ("Which shape is furthest {}?", "What is the shape furthest {}?"),
    r"Is the (\w+) (\w+)\?": ("Is the colour of the {} {}?", "Does the {} look {}?"),
}  # fmt: skip
"""The requests, and other words for them."""


def in_other_words(question: Question, rng: np.random.Generator) -> Question:
    """Ask the same in other words."""
    for pattern, forms in OTHER_WORDS.items():
        found = re.fullmatch(pattern, question.request)
        if found:
            return replace(question, request=str(rng.choice(forms)).format(*found.groups()))
    raise ValueError(f"{question.request!r} is no request of a kind that is asked")


def ask(scene: Scene, kind: str, rng: np.random.Generator) -> Question | None:
    """Draw a request of this kind about the scene; None where the scene doesn't allow one."""
    return ASKERS[kind](scene, rng)
