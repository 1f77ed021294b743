"""An exercise: an answer in plain NumPy, an oracle, cases, hints, and the wrong answers that people give.

The file that a student opens is made from the answer: its signature and docstring stay, its body becomes `...`. A wrong
answer is an edit of the answer's body, so two of them combine, and a student who makes both mistakes is told both.
"""

import ast
import copy
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any, Literal, NamedTuple

import numpy as np

Inputs = dict[str, Any]
"""The arguments of one call, by name."""

SHAPE_TYPES = ("Bool", "Float", "Int", "UInt8")
"""jaxtyping's names that a signature may use; the student's file imports those that it needs."""

NOTATION = """Shapes stand in the signature: Float[np.ndarray, "tokens hidden"] is an array of floats with two axes, tokens and
hidden. Axes of the same name have the same length; *batch is any number of axes, also none."""
"""Explains jaxtyping's notation in the head of every file that uses it."""


class Wrong(NamedTuple):
    """A known wrong answer: its name, what to say to a student who gives it, and the edits that make it from the answer."""

    name: str
    hint: str
    edits: tuple[tuple[str, str], ...]


def wrong(name: str, hint: str, *edits: tuple[str, str]) -> Wrong:
    """Return the wrong answer that replaces the first text of each pair, found once in the answer's body, by the second."""
    return Wrong(name, hint, edits)


@dataclass(frozen=True)
class Exercise:
    """One function to write, and all that is needed to mark it."""

    answer: Callable[..., Any]
    """A correct answer; the module that defines it begins with the exercise's title and introduction."""
    expected: Callable[..., Any]
    """The oracle: the project's own function or a library's, with the answer's arguments."""
    cases: Callable[[np.random.Generator], Iterator[Inputs]]
    """The inputs to try, some chosen and some drawn."""
    minutes: int
    """How long a student takes who has read the walkthrough."""
    hints: tuple[str, str, str]
    """Three levels: the idea, the operation, nearly the line."""
    wrong: tuple[Wrong, ...]
    solution: tuple[Callable[..., Any], ...]
    """The project's own functions, shown to a student who has passed."""
    notice: str
    """What to notice in them."""
    shown: Literal["numbers", "mask", "picture"] = "numbers"
    """How a result is drawn: its numbers, where a mask is open, or its levels from 0 (dark) to 255 (bright)."""
    one_file: str = ""
    """The function of `walkthroughs/ovis2.py` that has this formula; none where a greedy answer doesn't need it."""
    exact: bool = False
    """True where results have to agree to the last bit."""

    @property
    def name(self) -> str:
        """The function's name, by which the command knows the exercise."""
        return self.answer.__name__

    @property
    def title(self) -> str:
        """The first line of the module's docstring, without its full stop."""
        return self.introduction.splitlines()[0].rstrip(".")

    @property
    def introduction(self) -> str:
        """Title, formula, and where in the model it stands."""
        return inspect.cleandoc(sys.modules[self.answer.__module__].__doc__ or "")

    @property
    def whereabouts(self) -> str:
        """Where the formula stands in the model: in the one file, and in the package."""
        modules = {function.__module__.replace(".", "/"): function.__qualname__ for function in reversed(self.solution)}
        places = [f"{self.one_file} in walkthroughs/ovis2.py"] if self.one_file else []
        places += [f"{name} in {module}.py" for module, name in reversed(modules.items())]
        return f"In the model: {', '.join(places)}."

    @cached_property
    def source(self) -> str:
        """The answer's text."""
        return textwrap.dedent(inspect.getsource(self.answer))

    @cached_property
    def _head_and_body(self) -> tuple[str, str]:
        """The answer's text up to the end of its docstring, and from there on."""
        docstring = _function(self.source).body[0]
        lines = self.source.splitlines(keepends=True)
        return "".join(lines[: docstring.end_lineno]), "".join(lines[docstring.end_lineno :])

    @property
    def lines(self) -> tuple[int, int]:
        """Lines of the answer: with its signature and docstring, and without."""
        return len(self.source.splitlines()), len(self._head_and_body[1].splitlines())

    def text(self, number: int, count: int) -> str:
        """Return the untouched file: number `number` of `count`."""
        head = self._head_and_body[0]
        needed = ", ".join(name for name in SHAPE_TYPES if f"{name}[" in head)
        imports = "import numpy as np\n"
        imports += f"from jaxtyping import {needed}\n" if needed else ""
        if "Callable[" in head:
            imports = f"from collections.abc import Callable\n\n{imports}"
        command = f"ovis2-ref exercise check {self.name}"
        notation = f"\n\n{NOTATION}" if needed else ""
        return (
            f'"""Exercise {number} of {count}: {self.introduction}\n\n{self.whereabouts}{notation}\n\n    {command}\n"""\n\n'
            f"{imports}\n\n{head}    ...\n"
        )

    def variant(self, *mistakes: Wrong) -> Callable[..., Any]:
        """Return the answer with `mistakes` made in it, also several in one line.

        Raises ValueError where an edit doesn't find its text exactly once, or two change the same letters.
        """
        head, body = self._head_and_body
        edits = [(mistake, *edit) for mistake in mistakes for edit in mistake.edits]
        spans = sorted(span for edit in edits for span in self._spans(body, *edit))
        for (_, end, _), (start, _, _) in pairwise(spans):
            if start <= end:
                raise ValueError(f"{self.name}: two mistakes change the same letters")
        for start, end, new in reversed(spans):
            body = body[:start] + new + body[end:]
        return self.compiled(head + body)

    def _spans(self, body: str, mistake: Wrong, old: str, new: str) -> Iterator[tuple[int, int, str]]:
        """Yield what changes in the body, word by word: from where, to where, and what stands there then."""
        if body.count(old) != 1:
            raise ValueError(f"{self.name}, {mistake.name!r}: {old!r} stands {body.count(old)} times in the answer")
        before, after = (re.findall(r"\w+|\s+|.", text) for text in (old, new))
        ends = [body.index(old), *(body.index(old) + end for end in accumulate(map(len, before)))]
        for kind, i, j, k, n in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
            if kind != "equal":
                yield ends[i], ends[j], "".join(after[k:n])

    def compiled(self, source: str, **names: Any) -> Callable[..., Any]:
        """Return the function that `source` defines, which sees the names of the answer's module and `names`."""
        namespace = vars(sys.modules[self.answer.__module__]) | names
        exec(compile(source, f"<{self.name}>", "exec"), namespace)
        return namespace[self.name]

    @cached_property
    def examples(self) -> list[tuple[Inputs, Any]]:
        """The cases that students are shown, the same ones every time."""
        return self.examples_of(0)

    def examples_of(self, seed: int) -> list[tuple[Inputs, Any]]:
        """Return the cases that `seed` draws, smallest first, each with what is expected of it."""
        cases = sorted(self.cases(np.random.default_rng(seed)), key=extent)
        return [(inputs, self.expected(**copy.deepcopy(inputs))) for inputs in cases]

    def is_untouched(self, text: str) -> bool:
        """Return True if the function in a student's file `text` has nothing but a docstring and `...` in it."""
        try:
            statements = ast.parse(text).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False  # running it says what is wrong
        functions = [node for node in statements if isinstance(node, ast.FunctionDef) and node.name == self.name]
        return bool(functions) and all(
            isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
            for node in functions[-1].body
        )


def _function(source: str) -> ast.FunctionDef:
    return next(node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))


def extent(value: Any) -> tuple[int, float]:
    """Return how large a case is: the numbers and words in it, then the sum of its whole numbers."""
    if isinstance(value, dict | list | tuple):
        parts = [extent(part) for part in (value.values() if isinstance(value, dict) else value)]
        return sum(count for count, _ in parts), sum(total for _, total in parts)
    if isinstance(value, np.ndarray):
        return value.size, 0
    return 1, abs(value) if isinstance(value, int) else 0
