"""What the exercises' marking is worth, as a table: python -m tests.exercises.figures [NAME ...]

Exit status 1 if an untouched file passes, an answer fails, a wrong answer isn't rejected by its own name, fewer than 97 % of the
mutants are rejected, or a survivor isn't listed as equivalent with its reason. A verdict's seconds are those of the
process, the longest of the untouched file's and all wrong answers', with the search for the mistake's name.
"""

import sys
import time
from typing import NamedTuple

from ovis2_ref.exercises.catalogue import EXERCISES
from ovis2_ref.exercises.checking import check
from ovis2_ref.exercises.exercise import Exercise
from tests.exercises.equivalent import EQUIVALENT
from tests.exercises.mutants import survivors

LEAST_REJECTED = 0.97
COLUMNS = (
    *("exercise", "lines (of these, body)", "cases", "untouched fails", "answer passes", "wrong answers", "named"),
    *("mutants", "rejected", "equivalent", "slowest verdict (CPU)"),
)


class Figures(NamedTuple):
    """One row of the table."""

    name: str
    lines: tuple[int, int]
    cases: int
    untouched_fails: bool
    answer_passes: bool
    wrong: int
    named: int
    mutants: int
    alive: list[str]
    seconds: float


def measure(exercise: Exercise) -> Figures:
    """Mark the untouched file, the answer, every wrong answer and every mutant."""
    start = time.process_time()
    untouched = check(exercise, exercise.compiled(exercise.text(1, 1))) is not None
    named, slowest = 0, time.process_time() - start
    for mistake in exercise.wrong:
        start = time.process_time()
        failure = check(exercise, exercise.variant(mistake))
        slowest = max(slowest, time.process_time() - start)
        named += failure is not None and failure.known == (mistake,)
    count, alive = survivors(exercise)
    return Figures(
        exercise.name,
        exercise.lines,
        len(exercise.examples),
        untouched,
        check(exercise, exercise.answer) is None,
        len(exercise.wrong),
        named,
        count,
        alive,
        slowest,
    )


def unlisted(row: Figures) -> list[str]:
    """Return the survivors that no reason is given for."""
    return [what for what in row.alive if what not in EQUIVALENT.get(row.name, {})]


def main(names: list[str]) -> int:
    """Print the table, and return the exit status."""
    rows = []
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    for exercise in EXERCISES:
        if names and exercise.name not in names:
            continue
        rows.append(row := measure(exercise))
        print(f"| {' | '.join(map(str, cells(row)))} |", flush=True)
    mutants, alive = sum(row.mutants for row in rows), sum(len(row.alive) for row in rows)
    rejected = 1 - alive / mutants
    print(f"\n{len(rows)} exercises, {sum(row.wrong for row in rows)} wrong answers, {sum(row.named for row in rows)} named; "
          f"{mutants} mutants, {mutants - alive} rejected ({rejected:.1%}), {alive} survivors:\n")  # fmt: skip
    for row in rows:
        for what in row.alive:
            print(f"- {row.name}: `{what}`: {EQUIVALENT.get(row.name, {}).get(what, 'NOT LISTED')}")
    sound = all(
        row.untouched_fails and row.answer_passes and row.named == row.wrong and not unlisted(row) for row in rows
    )
    return 0 if sound and rejected >= LEAST_REJECTED else 1


def cells(row: Figures) -> tuple[object, ...]:
    """Return a row as `COLUMNS` names it."""
    return (
        *(row.name, f"{row.lines[0]} ({row.lines[1]})", row.cases),
        *("yes" if fine else "NO" for fine in (row.untouched_fails, row.answer_passes)),
        *(row.wrong, row.named, row.mutants, row.mutants - len(row.alive), len(row.alive), f"{row.seconds:.2f} s"),
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
