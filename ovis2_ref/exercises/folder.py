"""The student's folder: a file for each exercise, and `progress.json` with what is done and which hints were given."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ovis2_ref.errors import InputError
from ovis2_ref.exercises.exercise import Exercise
from ovis2_ref.files.writing import write_text

PROGRESS = "progress.json"


@dataclass
class Folder:
    """The files of all exercises, in order of difficulty, and the progress made in them."""

    path: Path
    exercises: tuple[Exercise, ...]
    done: list[str] = field(default_factory=list)
    hints: dict[str, int] = field(default_factory=dict)
    """How many levels of hints were given."""

    kept: bool = True
    """False for a folder that was handed in: nothing is written into it."""

    @classmethod
    def open(cls, start: Path, exercises: tuple[Exercise, ...]) -> "Folder":
        """Return the student's folder, seen from the folder `start`; nothing is written.

        It is the nearest of `.`, `exercises` and `walkthroughs/exercises`, under `start` or a folder above it, that has any
        exercise's file; if there is none, a new `exercises` under `start`. Raises `InputError` for a damaged progress file.
        """
        names = [file_name(number, exercise) for number, exercise in enumerate(exercises, start=1)]
        places = [base / sub for base in (start, *start.parents) for sub in ("", "exercises", "walkthroughs/exercises")]
        found = (place for place in places if any((place / name).is_file() for name in names))
        folder = cls(next(found, start / "exercises"), exercises)
        folder._read_progress()
        return folder

    @classmethod
    def given(cls, path: Path, exercises: tuple[Exercise, ...]) -> "Folder":
        """Return the folder at `path`, whatever it has, to mark its files. Raises `InputError` if it is no folder."""
        if not path.is_dir():
            raise InputError(f"{path} is no folder; give the folder that holds the exercises' files")
        return cls(path.resolve(), exercises, kept=False)

    def complete(self) -> None:
        """Write the files that are missing."""
        self.path.mkdir(exist_ok=True)
        for exercise in self.exercises:
            if not self.file(exercise).exists():
                self.restore(exercise)

    def note(self, exercise: Exercise, right: bool) -> None:
        """Remember whether `exercise` is done."""
        if right != (exercise.name in self.done):
            self.done = [name for name in self.done if name != exercise.name] + [exercise.name] * right
            self.save()

    def file(self, exercise: Exercise) -> Path:
        """Return where the student writes `exercise`."""
        return self.path / file_name(self.exercises.index(exercise) + 1, exercise)

    def restore(self, exercise: Exercise) -> None:
        """Write the untouched file of `exercise`."""
        text = exercise.text(self.exercises.index(exercise) + 1, len(self.exercises))
        write_text(self.file(exercise), text, InputError)

    def named(self, name: str) -> Exercise:
        """Return the exercise called `name`, or with that number. Raises `InputError` if there is none."""
        stem = Path(name).stem
        for number, exercise in enumerate(self.exercises, start=1):
            if stem in (exercise.name, str(number), f"{number:02d}", f"{number:02d}_{exercise.name}"):
                return exercise
        raise InputError(f"there is no exercise {name!r}; `ovis2-ref exercise list` shows their names")

    def next(self, exercises: tuple[Exercise, ...] | None = None) -> Exercise | None:
        """Return the first of `exercises`, of all if they aren't given, that isn't done; None if all are."""
        some = self.exercises if exercises is None else exercises
        return next((exercise for exercise in some if exercise.name not in self.done), None)

    def save(self) -> None:
        """Write the progress file, into a new folder if there is none."""
        if not self.kept:
            return
        self.path.mkdir(exist_ok=True)
        progress = {"done": sorted(set(self.done)), "hints": self.hints}
        write_text(self.path / PROGRESS, json.dumps(progress, indent=2) + "\n", InputError)

    def _read_progress(self) -> None:
        path = self.path / PROGRESS
        if not path.exists():
            return
        try:
            progress: Any = json.loads(path.read_text(encoding="utf-8"))
            self.done = [str(name) for name in progress["done"]]
            self.hints = {str(name): int(level) for name, level in progress["hints"].items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(
                f"{path} is damaged ({error}); delete it to start counting anew, your answers stay"
            ) from error


def file_name(number: int, exercise: Exercise) -> str:
    """Return the name of the file of exercise `number`."""
    return f"{number:02d}_{exercise.name}.py"
