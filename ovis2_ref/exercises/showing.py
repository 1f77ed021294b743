"""Show a failure: the inputs, what was expected beside what came, and where the two differ."""

import inspect
import textwrap
from itertools import zip_longest
from typing import Any

import numpy as np

from ovis2_ref.exercises.checking import Failure, agrees, differs
from ovis2_ref.exercises.exercise import Exercise, Inputs
from ovis2_ref.exercises.submission import Other, Outcome, short

ROWS, COLUMNS = 8, 6
"""How much of a result is shown, around the first difference."""
ROW_OF_ITEMS = 40
"""Letters of a list that is still shown in one line."""
SHADES = "·░▒▓█"
"""From dark to bright; no level is a blank."""
LINES, LETTERS = 12, 100
"""How much is shown of what a function prints."""
PASTED = 24
"""Lines of Python that are still printed."""


def failure_text(exercise: Exercise, failure: Failure) -> str:
    """Return what a student sees of `failure`: case, results, the known mistake and its hint, the case to paste."""
    outcome = failure.outcome
    parts = [
        f"{failure.failed} of {failure.cases} cases fail. The smallest of them:",
        inputs_text(exercise, failure.inputs),
    ]
    if outcome.error:
        parts += [f"expected\n\n{_indented(_value_text(failure.expected))}", _error_text(outcome)]
    elif outcome.changed:
        parts.append(
            f"Your function wrote into its argument {outcome.changed}. Make a new array: the caller needs the old one."
        )
    else:
        parts += [
            comparison_text(exercise, outcome.value, failure.expected),
            diagnosis(outcome.value, failure.expected),
        ]
    if outcome.printed:
        lines = [line[:LETTERS] + " ..." * (len(line) > LETTERS) for line in outcome.printed.rstrip().splitlines()]
        shown = "\n".join(lines[:LINES] + ["..."] * (len(lines) > LINES))
        parts.append(f"Your function printed:\n{_indented(shown)}")
    if failure.known:
        parts += [f"Known mistake: {mistake.name}.\n    {mistake.hint}" for mistake in failure.known]
    if len((case := case_text(failure.inputs, exercise.name)).splitlines()) <= PASTED:
        parts.append(f"To try it, put this at the end of your file:\n\n{_indented(case)}")
    return "\n\n".join(part for part in parts if part)


def case_text(inputs: Inputs, name: str) -> str:
    """Return Python that calls function `name` with `inputs`, given `np`."""
    sources, arguments = [], []
    for argument, value in inputs.items():
        kind = value if inspect.isfunction(value) else type(value)
        if inspect.isfunction(value) or callable(value):
            sources.append(textwrap.dedent(inspect.getsource(kind)))
        arguments.append(f"    {argument}={_code(value)},")
    if any("@dataclass" in source for source in sources):
        sources.insert(0, "from dataclasses import dataclass\n")
    return "\n".join([*sources, f"print({name}(", *arguments, "))"])


def script_of(exercise: Exercise, failure: Failure) -> str:
    """Return a program that runs the failing case on the student's file, and says what was expected of it."""
    return (
        f'"""The smallest case that {exercise.name} failed. It runs from any folder."""\n\n'
        "import runpy\nfrom pathlib import Path\n\nimport numpy as np\n\n"
        f'(file,) = Path(__file__).parents[1].glob("*_{exercise.name}.py")\n'
        f'{exercise.name} = runpy.run_path(str(file))["{exercise.name}"]\n\n'
        f"{case_text(failure.inputs, exercise.name)}\n"
        f'print("expected:")\nprint({_code(failure.expected)})\n'
    )


def _code(value: Any) -> str:
    """Return a Python expression with `value`."""
    if isinstance(value, np.ndarray):
        numbers = np.array2string(
            value, separator=", ", threshold=value.size + 1, floatmode="unique", max_line_width=100
        )
        numbers = numbers.replace("nan", "np.nan").replace("inf", "np.inf")
        text = (
            f"np.array({numbers}, np.{value.dtype.name})"
            if value.size
            else f"np.zeros({value.shape}, np.{value.dtype})"
        )
        return text.replace("\n", "\n    ").replace("np.bool)", "bool)")
    if inspect.isfunction(value):
        return value.__name__
    if callable(value):
        fields = ", ".join(f"{name}={_code(field)}" for name, field in vars(value).items())
        return f"{type(value).__name__}({fields})"
    if isinstance(value, tuple | list):
        inner = ", ".join(map(_code, value))
        return f"[{inner}]" if isinstance(value, list) else f"({inner},)"
    return repr(value.item() if isinstance(value, np.generic) else value)


def inputs_text(exercise: Exercise, inputs: Inputs) -> str:
    """Return the arguments of a case, one below the other."""
    lines = []
    for name, value in inputs.items():
        if isinstance(value, np.ndarray):
            lines.append(f"    {name}  {_kind(value)}\n{_indented(_array_text(value, exercise.shown == 'picture'), 8)}")
        else:
            text = f"{value.__name__}: {value.__doc__}" if inspect.isfunction(value) else repr(value)
            lines.append(f"    {name} = {text}")
    return "\n".join(lines)


def comparison_text(exercise: Exercise, got: Any, expected: Any) -> str:
    """Return `expected` and `got` side by side; of two arrays of one shape, the part around the first difference."""
    several = isinstance(expected, tuple | list) and isinstance(got, tuple | list)
    if several and len(got) == len(expected) and isinstance(expected[0], np.ndarray):
        first = next(i for i, e in enumerate(expected) if not agrees(got[i], e, exercise.exact))
        return f"Result number {first}:\n\n{comparison_text(exercise, got[first], expected[first])}"
    where = ""
    if _are_numbers(expected) and _are_numbers(got) and got.shape == expected.shape:
        wrong = differs(got, expected, exercise.exact)
        window, where = _window(wrong)
        left = _cells(exercise, expected, got, wrong, window, "")
        right = _cells(exercise, got, expected, wrong, window, "*")
    elif several and len(repr(expected)) > ROW_OF_ITEMS:
        left = [repr(part) for part in expected]
        right = [repr(g) + ("" if i < len(expected) and agrees(g, expected[i]) else "*") for i, g in enumerate(got)]
    else:
        left, right = _value_text(expected).splitlines(), _value_text(got).splitlines()
    return side_by_side(f"expected {_kind(expected)}", left, f"got {_kind(got)}", right) + where


def _are_numbers(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "biuf"


def side_by_side(left_title: str, left: list[str], right_title: str, right: list[str]) -> str:
    """Return two blocks of lines, one beside the other, under their titles."""
    left, right = [left_title, "", *left], [right_title, "", *right]
    width = max(map(len, left))
    rows = zip_longest(left, right, fillvalue="")
    return "\n".join(f"    {a:{width}}    {b}".rstrip() for a, b in rows)


def diagnosis(got: Any, expected: Any) -> str:
    """Return one sentence on how a result differs, as far as that can be told without knowing the exercise."""
    if got is None:
        return "The function returned None: is there a `return` on every way out?"
    if not isinstance(expected, np.ndarray):
        if isinstance(expected, tuple | list) and isinstance(got, tuple | list) and len(got) != len(expected):
            return f"{len(expected)} results are expected, not {len(got)}."
        return ""
    if not isinstance(got, np.ndarray):
        return f"A NumPy array is expected, not a {_type(got)}."
    if got.shape != expected.shape:
        hint = " The axes stand in another order." if sorted(got.shape) == sorted(expected.shape) else ""
        return f"The shape should be {expected.shape}, not {got.shape}.{hint}"
    if got.dtype != expected.dtype:
        return f"The numbers should be {expected.dtype}, not {got.dtype}."
    if expected.dtype.kind != "f":
        return f"{int((got != expected).sum())} of {got.size} entries differ."
    if np.isnan(got).any() and not np.isnan(expected).any():
        return "There are NaNs in the result: look for 0 / 0, infinity - infinity, or the root of a negative number."
    wrong = differs(got, expected)
    text = f"{int(wrong.sum())} of {got.size} numbers differ."
    usable = np.isfinite(got) & np.isfinite(expected) & (expected != 0)
    ratios = got[usable] / expected[usable]
    if ratios.size > 1 and np.allclose(ratios, ratios[0], rtol=1e-4) and abs(ratios[0] - 1) > 1e-2:
        text += f" Every one is {ratios[0]:.5g} times what it should be."
    return text


def _window(wrong: np.ndarray) -> tuple[tuple[int | slice, ...], str]:
    """Return the part of an array to show, around its first difference, and the words that say which part it is."""
    first = [int(i) for i in np.argwhere(wrong)[0]] if wrong.any() else [0] * wrong.ndim
    window: list[int | slice] = [*first[:-2]]
    for i, size, n in zip(first[-2:], (ROWS, COLUMNS)[-wrong.ndim :], wrong.shape[-2:], strict=True):
        start = max(0, min(i - size // 2, n - size))
        window.append(slice(start, min(start + size, n)))
    if wrong[tuple(window)].size == wrong.size:
        return tuple(window), ""
    ranges = (f"{part.start}:{part.stop}" if isinstance(part, slice) else str(part) for part in window)
    return tuple(window), f"\n\n    (shown: [{', '.join(ranges)}])"


def _cells(
    exercise: Exercise,
    array: np.ndarray,
    other: np.ndarray,
    wrong: np.ndarray,
    window: tuple[int | slice, ...],
    star: str,
) -> list[str]:
    """Return the lines of `array[window]`, with digits enough to tell it from `other`, and a `star` at numbers that are wrong."""
    part, target, stars = (np.atleast_2d(numbers[window]) for numbers in (array, other, wrong))
    if exercise.shown == "mask" and _is_mask(array) and _is_mask(other):
        opened = part if part.dtype.kind == "b" else part == 0
        return ["".join("■ " if cell else "· " for cell in row) for row in opened]
    close = [_number(part[at]) == _number(target[at]) for at in zip(*np.nonzero(stars), strict=True)]
    lines = [[_number(cell, 9 if any(close) else 4) for cell in row] for row in part]
    for i, j in zip(*np.nonzero(stars), strict=True):
        lines[i][j] += star
    width = max(len(cell) for row in lines for cell in row)
    rows = [" ".join(cell.rjust(width) for cell in row) for row in lines]
    if exercise.shown == "picture" and part.dtype == np.uint8:
        rows = [f"{row}   {_shaded(levels)}" for row, levels in zip(rows, part, strict=True)]
    return rows


def _is_mask(array: np.ndarray) -> bool:
    """Return True if `array` has nothing but 0 and the lowest number, or truths, so that two signs say all of it."""
    return array.dtype.kind == "b" or bool(((array == 0) | (array == np.finfo(np.float32).min)).all())


def _number(value: Any, digits: int = 4) -> str:
    return f"{value:.{digits}g}" if isinstance(value, float | np.floating) else str(value)


def _shaded(levels: np.ndarray) -> str:
    return "".join(SHADES[int(level) * len(SHADES) // 256] * 2 for level in levels)


def _array_text(array: np.ndarray, as_picture: bool = False) -> str:
    if as_picture and array.dtype == np.uint8 and 2 <= array.ndim <= 3 and max(array.shape[-2:]) <= 24:
        brightness = array.reshape(-1, *array.shape[-2:]).mean(axis=0)
        return "\n".join(_shaded(row) for row in brightness)
    return np.array2string(array, precision=4, threshold=60, edgeitems=2, suppress_small=True, max_line_width=100)


def _value_text(value: Any) -> str:
    if isinstance(value, tuple | list) and any(isinstance(part, np.ndarray) for part in value):
        return "\n".join(_value_text(part) for part in value)
    if isinstance(value, Other):
        return ""
    return _array_text(value) if isinstance(value, np.ndarray) else short(repr(value))


def _kind(value: Any) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else f"({_type(value)})"


def _type(value: Any) -> str:
    return value.kind if isinstance(value, Other) else type(value).__name__


def _indented(text: str, spaces: int = 4) -> str:
    return "\n".join(" " * spaces + line for line in text.splitlines())


def _error_text(outcome: Outcome) -> str:
    """Return the error, and the lines of the student's file that led to it."""
    where = "".join(f"\n    {line}" for line in outcome.lines)
    return f"Your function raised {outcome.error}: {outcome.message}{where}"
