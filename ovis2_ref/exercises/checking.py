"""Mark an answer: find the smallest case that fails, and the known mistake that explains every result."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from ovis2_ref.exercises.exercise import Exercise, Inputs, Wrong
from ovis2_ref.exercises.submission import Outcome, run

ROUNDINGS = 4096
"""Results may differ by so many roundings of the largest number in them. exp makes a thousand roundings of one in a number around
1000, as softmax sees them, and a sum of n products adds n. In float64 that allows 9e-13, and no slip in a formula is so small."""


@dataclass(frozen=True)
class Failure:
    """The smallest case that an answer gets wrong."""

    inputs: Inputs
    expected: Any
    outcome: Outcome
    failed: int
    """How many of the cases fail."""
    cases: int
    known: tuple[Wrong, ...]
    """The known mistake that gives the same results in all cases, or two that do so together."""


def check(exercise: Exercise, function: Callable[..., Any]) -> Failure | None:
    """Return None if `function` gives what is expected in every case, else the smallest case that fails.

    It runs in this process: not for a student's function (`process.outcomes`).
    """
    return judge(exercise, exercise.examples, [run(function, inputs) for inputs, _ in exercise.examples])


def judge(exercise: Exercise, examples: list[tuple[Inputs, Any]], outcomes: list[Outcome]) -> Failure | None:
    """Return None if every outcome is what its example expects, else the smallest that isn't, and the mistake behind it."""
    marked = zip(examples, outcomes, strict=True)
    failed = [i for i, ((_, expected), outcome) in enumerate(marked) if not passes(outcome, expected, exercise.exact)]
    if not failed:
        return None
    inputs, expected = examples[failed[0]]
    telling = sorted(range(len(outcomes)), key=lambda i: i not in failed)  # what fails tells mistakes apart
    known = _known(exercise, [(examples[i][0], outcomes[i]) for i in telling])
    return Failure(inputs, expected, outcomes[failed[0]], len(failed), len(outcomes), known)


def passes(outcome: Outcome, expected: Any, exact: bool) -> bool:
    """Return True if the function returned what was expected and left its arguments as they were."""
    return not outcome.error and not outcome.changed and agrees(outcome.value, expected, exact)


def agrees(got: Any, expected: Any, exact: bool = False) -> bool:
    """Return True if two results are alike: type, shape, and every number, up to `ROUNDINGS` unless `exact`.

    A list may stand for a tuple, a NumPy number for a Python one, int32 for int64. Functions are not compared.
    """
    if isinstance(expected, np.ndarray):
        if not isinstance(got, np.ndarray) or got.shape != expected.shape:
            return False
        if got.dtype != expected.dtype and not got.dtype.kind == expected.dtype.kind == "i":
            return False
        return not np.any(differs(got, expected, exact))
    if isinstance(expected, list | tuple):
        if not isinstance(got, list | tuple) or len(got) != len(expected):
            return False
        return all(agrees(g, e, exact) for g, e in zip(got, expected, strict=True))
    if isinstance(expected, dict):
        return (
            isinstance(got, dict)
            and got.keys() == expected.keys()
            and all(agrees(got[k], expected[k], exact) for k in got)
        )
    if isinstance(expected, int | float | np.number):
        if not isinstance(got, int | float | np.number) or isinstance(got, bool) != isinstance(expected, bool):
            return False
        if isinstance(expected, int | np.integer):
            return not isinstance(got, float | np.floating) and bool(got == expected)
        return not differs(np.array([got], float), np.array([expected], float), exact).any()
    return callable(expected) or (type(got) is type(expected) and bool(got == expected))


def differs(got: np.ndarray, expected: np.ndarray, exact: bool = False) -> np.ndarray:
    """Return, for every number of two arrays of one shape, True where they don't agree."""
    with np.errstate(all="ignore"):
        same = (got == expected) | ((got != got) & (expected != expected))
        if expected.dtype.kind != "f" or exact:
            return ~same
        finite = expected[np.isfinite(expected)]
        # The largest finite number counts, but not one such as -3e38, which means "masked".
        usual = np.abs(finite)[np.abs(finite) < 1e30]
        allowed = ROUNDINGS * np.finfo(expected.dtype).eps * usual.max(initial=0.0)
        return ~(same | (np.abs(got.astype(np.float64) - expected.astype(np.float64)) <= allowed))


def _known(exercise: Exercise, evidence: list[tuple[Inputs, Outcome]]) -> tuple[Wrong, ...]:
    """Return the first of the wrong answers, then of their pairs, that does in every case what the student's function did."""
    if all(outcome.error for _, outcome in evidence):
        return ()  # there are no results to compare
    for mistakes in _candidates(exercise):
        try:
            function = exercise.variant(*mistakes)
        except (ValueError, SyntaxError):
            continue  # the two edit the same line
        if all(_alike(run(function, inputs), theirs, exercise.exact) for inputs, theirs in evidence):
            return mistakes
    return ()


def _candidates(exercise: Exercise) -> Iterator[tuple[Wrong, ...]]:
    yield from ((mistake,) for mistake in exercise.wrong)
    yield from combinations(exercise.wrong, 2)


def _alike(ours: Outcome, theirs: Outcome, exact: bool) -> bool:
    if ours.error or theirs.error:
        return ours.error == theirs.error
    same = agrees(theirs.value, ours.value, exact) or agrees(ours.value, theirs.value, exact)  # 1 and 1.0, whosever
    return ours.changed == theirs.changed and same
