"""Which clause of a task's text does no case exercise? Mutants of the inputs show it.

Every argument is changed in some forty ways: rolled, flipped, sorted, rounded, its sign or an axis dropped, exchanged for another
argument or for a length. A wrong answer that is deaf to what a change destroys gives the same results as the right one on changed
inputs; so if a change alters no case's result, no case exercises what it destroys. What the oracle doesn't look at has to hold
something in some case: an answer that looks at it, or keeps it, has to fail.
"""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ovis2_ref.exercises.checking import agrees
from ovis2_ref.exercises.exercise import Exercise, Inputs

Change = Callable[[Any], Any]


def along(array: np.ndarray, axis: int, part: Any) -> tuple[Any, ...]:
    """Return the index of `part` of one axis."""
    return (*[slice(None)] * (axis % array.ndim), part)


def array_changes() -> Iterator[tuple[str, Change]]:
    """Yield the ways to change an array."""
    for axis in (-1, -2, -3, -4):
        yield f"axis {axis} rolled", lambda x, a=axis: np.roll(x, 1, a)
        yield f"axis {axis} flipped", lambda x, a=axis: np.flip(x, a)
        yield (
            f"axis {axis}: the first everywhere",
            lambda x, a=axis: np.broadcast_to(x[along(x, a, slice(0, 1))], x.shape).copy(),
        )
        yield f"axis {axis}: the last is zero", lambda x, a=axis: _put(x, along(x, a, -1), 0)
        yield f"axis {axis}: sorted", lambda x, a=axis: np.sort(x, a)
    yield "absolute", np.abs
    yield "no fractions", lambda x: np.trunc(x) if x.dtype.kind == "f" else x // 2 * 2
    yield "at most 1", lambda x: np.minimum(x, 1)
    yield "at least -1", lambda x: np.maximum(x, -1)
    yield "zero", np.zeros_like
    yield "one more", lambda x: x + x.dtype.type(1)


def _put(x: np.ndarray, at: Any, value: Any) -> np.ndarray:
    changed = x.copy()
    changed[at] = value
    return changed


NUMBERS: dict[str, Change] = {
    "one more": lambda n: n + 1,
    "one less": lambda n: n - 1,
    "twice": lambda n: n * 2,
    "half": lambda n: n // 2 if isinstance(n, int) else n / 2,
    "1": lambda n: type(n)(1),
}
LISTS: dict[str, Change] = {
    "sorted": sorted,
    "reversed": lambda x: x[::-1],
    "counted from the lowest": lambda x: list(range(min(x), min(x) + len(x))),
    "the first left out": lambda x: x[1:],
    "the last left out": lambda x: x[:-1],
}
TABLES: dict[str, Change] = {
    "in another order": lambda x: dict(reversed(x.items())),
    "in order": lambda x: dict(sorted(x.items())),
    "values to a tenth": lambda x: {name: round(value, 1) for name, value in x.items()},
    "keys exchanged": lambda x: {(b, a): value for (a, b), value in x.items()},
    "the first left out": lambda x: dict(list(x.items())[1:]),
    "the last left out": lambda x: dict(list(x.items())[:-1]),
}


def changes(inputs: Inputs, name: str) -> Iterator[tuple[str, Change]]:
    """Yield the ways to change argument `name`, each with its name."""
    value = inputs[name]
    if isinstance(value, np.ndarray):
        yield from array_changes()
    elif isinstance(value, int | float):
        yield from NUMBERS.items()
        for other, number in inputs.items():
            if other != name and isinstance(number, int | float):
                yield f"that of {other}", lambda _, number=number: number
            if isinstance(number, np.ndarray):
                for axis in range(1, number.ndim + 1):
                    yield f"axis -{axis} of {other}", lambda _, length=number.shape[-axis]: length
    elif isinstance(value, list):
        yield from LISTS.items()
    elif isinstance(value, dict):
        yield from TABLES.items()


def unexercised(exercise: Exercise) -> list[str]:
    """Return the changes that alter no result, as "argument: change"."""
    seen: dict[str, set[bool | None]] = {}
    for inputs, expected in exercise.examples:
        for name in inputs:
            for what, change in changes(inputs, name):
                kinds = seen.setdefault(f"{name}: {what}", set())
                if True not in kinds:
                    kinds.add(_differs(exercise, inputs, name, change, expected))
    return [key for key, kinds in seen.items() if True not in kinds and False in kinds]


def _differs(exercise: Exercise, inputs: Inputs, name: str, change: Change, expected: Any) -> bool | None:
    """Return True if the change alters the result, so that an answer that is deaf to it fails; None if it can't be made."""
    changed = copy.deepcopy(inputs)
    try:
        with np.errstate(all="ignore"):
            changed[name] = change(changed[name])
            got = exercise.answer(**changed)
    except Exception:  # an axis that isn't there, a length that doesn't fit
        return None
    return not agrees(got, expected, exercise.exact)


def unseen(exercise: Exercise) -> list[str]:
    """Return the arguments that hold 0 in every place that the result doesn't depend on, in all cases that have such places."""
    places: dict[str, bool] = {}
    for inputs, expected in exercise.examples:
        for name, value in inputs.items():
            if not isinstance(value, np.ndarray) or value.size > 200:
                continue
            for at in np.ndindex(value.shape):
                if (
                    _differs(exercise, inputs, name, lambda x, at=at: _put(x, at, x[at] + x.dtype.type(1)), expected)
                    is False
                ):
                    places[name] = places.get(name, False) or bool(value[at] != 0)
    return [name for name, held in places.items() if not held]
