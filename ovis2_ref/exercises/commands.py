"""The command `ovis2-ref exercise`: list, next, check, watch, hint, reset, solution."""

import inspect
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from ovis2_ref.errors import InputError
from ovis2_ref.exercises.catalogue import EXERCISES
from ovis2_ref.exercises.checking import Failure, check
from ovis2_ref.exercises.exercise import Exercise
from ovis2_ref.exercises.folder import Folder
from ovis2_ref.exercises.picture import draw_failure
from ovis2_ref.exercises.showing import failure_text

PATIENCE = 10.0
"""Seconds that all cases of an exercise may take; a right answer needs a few hundredths."""
GLANCE = 0.3
"""Seconds between two checks of the files."""


def list_exercises(folder: Folder, name: str | None) -> int:
    """Print every exercise, which are done, and which is next."""
    done = sum(exercise.name in folder.done for exercise in folder.exercises)
    count, upcoming = len(folder.exercises), folder.next()
    print(f"{'█' * done}{'░' * (count - done)} {done} of {count} done, in {folder.path}\n")
    for number, exercise in enumerate(folder.exercises, start=1):
        mark = "✓" if exercise.name in folder.done else "→" if exercise is upcoming else " "
        print(f"{mark} {number:2d} {exercise.name:22} {exercise.title}")
    return 0


def show_next(folder: Folder, name: str | None) -> int:
    """Print what the next exercise is about, and where its file is."""
    exercise = folder.next()
    if exercise is None:
        print("All exercises are done.")
        return 0
    print(f"{exercise.introduction}\n\nWrite it in {folder.file(exercise)}, then: ovis2-ref exercise check")
    return 0


def check_exercise(folder: Folder, name: str | None) -> int:
    """Mark an exercise, the next one if none is named, and print the verdict; 1 for an answer that isn't right."""
    exercise = _chosen(folder, name)
    path = folder.file(exercise)
    problem = verdict(exercise, path)
    if problem is None:
        folder.done.append(exercise.name)
        folder.save()
        print(f"✓ {exercise.name} is right. The project's own function: ovis2-ref exercise solution {exercise.name}")
        upcoming = folder.next()
        print(f"Next: {folder.file(upcoming)}" if upcoming else "That was the last one: all exercises are done.")
        return 0
    if exercise.name in folder.done:
        folder.done.remove(exercise.name)
        folder.save()
    print(problem)
    print(f"\n    ovis2-ref exercise hint {exercise.name}")
    return 1


def verdict(exercise: Exercise, path: Path) -> str | None:
    """Return None if the file at `path` answers `exercise`, else what is wrong with it."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path} can't be read ({error}); `ovis2-ref exercise reset {exercise.name}` restores it"
        ) from error
    try:
        if exercise.is_untouched(text):
            return f"✗ {exercise.name}: nothing is written yet. Replace the `...` in {path}"
        namespace: dict[str, Any] = {"__name__": f"exercise_{exercise.name}", "__file__": str(path)}
        exec(compile(text, str(path), "exec"), namespace)
    except (Exception, SystemExit):
        return f"✗ {exercise.name}: {path} can't be run.\n\n{traceback.format_exc(limit=-1).rstrip()}"
    function = namespace.get(exercise.name)
    if not callable(function):
        return f"✗ {exercise.name}: {path} has no function {exercise.name}. Keep its name and its arguments."
    failure = _in_time(lambda: check(exercise, function))
    if failure == "late":
        return f"✗ {exercise.name}: no result after {PATIENCE:.0f} seconds. Is there a loop that never ends?"
    if not isinstance(failure, Failure):
        return None
    picture = path.parent / "failures" / f"{exercise.name}.png"
    drawn = draw_failure(exercise, failure, picture)
    shown = f"\n\nThe same as a picture: {picture}" if drawn else ""
    return failure_text(exercise, failure, path) + shown


def _in_time(job: Callable[[], Any]) -> Any:
    """Return what `job` returns, or "late"; a job that is late is left behind on its thread, which ends with the process."""
    future: Future[Any] = Future()

    def work() -> None:
        try:
            future.set_result(job())
        except BaseException as error:
            future.set_exception(error)

    stdout = sys.stdout
    threading.Thread(target=work, daemon=True).start()
    try:
        return future.result(PATIENCE)
    except TimeoutError:
        sys.stdout = stdout  # a late job holds it redirected
        return "late"


def watch(folder: Folder, name: str | None) -> int:
    """Check an exercise whenever its file is saved, each in a separate process, until Ctrl-C."""
    seen = _saved(folder)  # before anything is printed: a file may be saved as soon as somebody reads it
    print(f"Watching {folder.path}: save a file to have it checked, Ctrl-C to stop.\n")
    show_next(folder, None)
    while True:
        time.sleep(GLANCE)
        now = _saved(folder)
        for exercise in folder.exercises:
            if now[exercise.name] not in (0, seen[exercise.name]):
                print(f"\n{'─' * 72}")
                command = [sys.executable, "-m", "ovis2_ref", "exercise", "check", exercise.name]
                subprocess.run(command, cwd=folder.path, check=False)
        seen = now


def _saved(folder: Folder) -> dict[str, int]:
    """When each file was last written, in ns; 0 for one that is away, as while an editor replaces it."""
    files = {exercise.name: folder.file(exercise) for exercise in folder.exercises}
    return {name: path.stat().st_mtime_ns if path.exists() else 0 for name, path in files.items()}


def hint(folder: Folder, name: str | None) -> int:
    """Print the next of an exercise's three hints, after those given before."""
    exercise = _chosen(folder, name)
    level = min(folder.hints.get(exercise.name, 0) + 1, len(exercise.hints))
    folder.hints[exercise.name] = level
    folder.save()
    for number, text in enumerate(exercise.hints[:level], start=1):
        print(f"Hint {number} of {len(exercise.hints)} for {exercise.name}: {text}")
    return 0


def reset(folder: Folder, name: str | None) -> int:
    """Restore the file of the exercise called `name`, and forget its progress. Raises `InputError` without a name."""
    if name is None:
        raise InputError("reset needs the name of an exercise, since it throws your answer away")
    exercise = folder.named(name)
    folder.restore(exercise)
    folder.done = [done for done in folder.done if done != exercise.name]
    folder.hints.pop(exercise.name, None)
    folder.save()
    print(f"{folder.file(exercise)} is as it was at the start.")
    return 0


def solution(folder: Folder, name: str | None) -> int:
    """Print a short answer, the project's own function and what to notice. Raises `InputError` before it is solved."""
    if name is None:
        raise InputError("solution needs the name of an exercise that you have solved")
    exercise = folder.named(name)
    if exercise.name not in folder.done:
        raise InputError(f"{exercise.name} isn't solved yet; `ovis2-ref exercise hint {exercise.name}` helps")
    print(f"A short answer:\n\n{exercise.source}")
    for function in exercise.solution:
        print(f"The project's own, in {function.__module__}:\n\n{inspect.getsource(function)}")
    print(f"Notice: {exercise.notice}")
    return 0


def _chosen(folder: Folder, name: str | None) -> Exercise:
    exercise = folder.next() if name is None else folder.named(name)
    return folder.exercises[-1] if exercise is None else exercise


COMMANDS: dict[str, Callable[[Folder, str | None], int]] = {
    "list": list_exercises,
    "next": show_next,
    "check": check_exercise,
    "watch": watch,
    "hint": hint,
    "reset": reset,
    "solution": solution,
}


def run_command(command: str, name: str | None) -> int:
    """Run one of `COMMANDS` in the student's folder, as seen from the current folder, and return its exit status."""
    return COMMANDS[command](Folder.open(Path.cwd(), EXERCISES), name)
