"""Mark the file of one exercise: what a person reads, and what a program does."""

from dataclasses import dataclass
from pathlib import Path

from ovis2_ref.exercises import process
from ovis2_ref.exercises.checking import Failure, judge
from ovis2_ref.exercises.exercise import Exercise
from ovis2_ref.exercises.picture import draw_failure
from ovis2_ref.exercises.showing import failure_text, script_of


@dataclass(frozen=True)
class Verdict:
    """The result for one file."""

    exercise: Exercise
    right: bool
    written: bool = True
    """False for a file that is missing, or as it was at the start."""
    problem: str = ""
    """What is wrong with the answer, for the student."""
    failure: Failure | None = None

    @property
    def mistakes(self) -> list[str]:
        """The names of the known mistakes that explain every result."""
        return [mistake.name for mistake in self.failure.known] if self.failure else []


def mark(exercise: Exercise, path: Path, seed: int = 0, pictures: bool = True) -> Verdict:
    """Run the file at `path` and mark it by the cases of `seed`; write what failed beside it if there are to be `pictures`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return Verdict(exercise, False, written=False, problem=f"{path} is missing.")
    except (OSError, UnicodeDecodeError) as error:
        problem = f"{path} can't be read ({error}); `ovis2-ref exercise reset {exercise.name}` restores it"
        return Verdict(exercise, False, problem=problem)
    if exercise.is_untouched(text):
        problem = f"nothing is written yet. Replace the `...` in {path}"
        return Verdict(exercise, False, written=False, problem=problem)
    examples = exercise.examples_of(seed)
    try:
        outcomes = process.outcomes(path, exercise.name, [inputs for inputs, _ in examples])
    except process.UnusableError as why:
        return Verdict(exercise, False, problem=str(why))
    failure = judge(exercise, examples, outcomes)
    if failure is None:
        return Verdict(exercise, True)
    problem = failure_text(exercise, failure)
    if pictures:
        problem += _written(exercise, failure, path.parent / "failures")
    return Verdict(exercise, False, problem=problem, failure=failure)


def _written(exercise: Exercise, failure: Failure, folder: Path) -> str:
    """Write the failing case as Python, and as a picture where it is one, into `folder`; return where they are."""
    folder.mkdir(exist_ok=True)
    script, picture = folder / f"{exercise.name}.py", folder / f"{exercise.name}.png"
    script.write_text(script_of(exercise, failure), encoding="utf-8")
    said = f"\n\nThe case as Python, to run and change: {script}"
    return f"{said}\nThe same as a picture: {picture}" if draw_failure(exercise, failure, picture) else said
