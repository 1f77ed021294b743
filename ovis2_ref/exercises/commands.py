"""The command `ovis2-ref exercise`: list, next, check, watch, hint, reset, solution, handout, assemble."""

import inspect
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ovis2_ref.errors import InputError
from ovis2_ref.exercises import course
from ovis2_ref.exercises.assembling import assemble
from ovis2_ref.exercises.catalogue import EXERCISES
from ovis2_ref.exercises.exercise import Exercise
from ovis2_ref.exercises.folder import Folder
from ovis2_ref.exercises.marking import mark
from ovis2_ref.exercises.report import as_json, as_junit
from ovis2_ref.files.writing import write_text

GLANCE = 0.3
"""Seconds between two checks of the files."""


@dataclass(frozen=True)
class Request:
    """What was asked for, beside the action."""

    name: str | None = None
    """An exercise; None for the next that isn't done."""
    session: int | None = None
    """A session of the course, from 1."""
    everything: bool = False
    """Check every exercise."""
    json: bool = False
    junit: str | None = None
    """Where to write JUnit's XML."""
    seed: int = 0
    """Draws the cases; students are shown those of 0."""
    folder: str | None = None
    """The folder to mark, and no other; None for the student's own, found from the current folder."""


def list_exercises(folder: Folder, request: Request) -> int:
    """Print every exercise, which are done, and which is next."""
    done = sum(exercise.name in folder.done for exercise in folder.exercises)
    count, upcoming = len(folder.exercises), folder.next()
    where = f"in {folder.path}" if folder.path.exists() else "`ovis2-ref exercise next` writes the files"
    print(f"{'█' * done}{'░' * (count - done)} {done} of {count} done, {where}\n")
    chosen = _of_session(folder, request)
    for number, exercise in enumerate(folder.exercises, start=1):
        if exercise in chosen:
            mark = "✓" if exercise.name in folder.done else "→" if exercise is upcoming else " "
            print(f"{mark} {number:2d} {exercise.name:24} {exercise.minutes:2d} min  {exercise.title}")
    print("\nThe last exercise is the whole model, on your functions: ovis2-ref exercise assemble")
    return 0


def show_next(folder: Folder, request: Request) -> int:
    """Print what the next exercise, of all or of a session, is about, and where its file is."""
    folder.complete()
    exercise = folder.next(_of_session(folder, request))
    if exercise is None:
        print(f"All exercises{' of the session' if request.session else ''} are done.")
        print("The whole model, on your functions: ovis2-ref exercise assemble")
        return 0
    print(f"{exercise.introduction}\n\nAbout {exercise.minutes} minutes.")
    print(f"Write it in {folder.file(exercise)}, then: ovis2-ref exercise check {exercise.name}")
    return 0


def check_exercise(folder: Folder, request: Request) -> int:
    """Mark an exercise, the next one if none is named, and print the verdict; 1 for an answer that isn't right."""
    if request.everything or request.json or request.junit:
        return _check_all(folder, request)
    exercise = _chosen(folder, request)
    verdict = mark(exercise, folder.file(exercise), request.seed)
    folder.note(exercise, verdict.right)
    if not verdict.right:
        print(f"✗ {exercise.name}: {verdict.problem}\n\n    ovis2-ref exercise hint {exercise.name}")
        return 1
    print(f"✓ {exercise.name} is right. The project's own function: ovis2-ref exercise solution {exercise.name}")
    upcoming = folder.next(_of_session(folder, request))
    print(f"Next: {folder.file(upcoming)}" if upcoming else "That was the last one: all exercises are done.")
    return 0


def _check_all(folder: Folder, request: Request) -> int:
    """Mark every file of the folder, or of a session, and print a table or JSON; 0 if all are right."""
    exercises = [folder.named(request.name)] if request.name else _of_session(folder, request)
    verdicts = [mark(exercise, folder.file(exercise), request.seed, pictures=False) for exercise in exercises]
    if request.junit:
        write_text(Path(request.junit), as_junit(verdicts) + "\n", InputError)
    if request.json:
        print(as_json(verdicts))
    else:
        print(f"{sum(verdict.right for verdict in verdicts)} of {len(verdicts)} are right, in {folder.path}\n")
        for verdict in verdicts:
            sign = "✓" if verdict.right else "✗" if verdict.written else " "
            said = ", ".join(verdict.mistakes) or verdict.problem.splitlines()[0] if verdict.problem else ""
            print(f"{sign} {verdict.exercise.name:24} {said}".rstrip())
    return 0 if all(verdict.right for verdict in verdicts) else 1


def watch(folder: Folder, request: Request) -> int:
    """Check an exercise whenever its file is saved, each in a separate process, until Ctrl-C."""
    folder.complete()
    seen = _saved(folder)  # before anything is printed: a file may be saved as soon as somebody reads it
    print(f"Watching {folder.path}: save a file to have it checked, Ctrl-C to stop.\n")
    show_next(folder, request)
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


def hint(folder: Folder, request: Request) -> int:
    """Print the next of an exercise's three hints, after those given before."""
    exercise = _chosen(folder, request)
    level = min(folder.hints.get(exercise.name, 0) + 1, len(exercise.hints))
    folder.hints[exercise.name] = level
    folder.save()
    for number, text in enumerate(exercise.hints[:level], start=1):
        print(f"Hint {number} of {len(exercise.hints)} for {exercise.name}: {text}")
    return 0


def reset(folder: Folder, request: Request) -> int:
    """Restore the file of the named exercise, and forget its progress. Raises `InputError` without a name."""
    if request.name is None:
        raise InputError("reset needs the name of an exercise, since it throws your answer away")
    exercise = folder.named(request.name)
    folder.restore(exercise)
    folder.done = [done for done in folder.done if done != exercise.name]
    folder.hints.pop(exercise.name, None)
    folder.save()
    print(f"{folder.file(exercise)} is as it was at the start.")
    return 0


def solution(folder: Folder, request: Request) -> int:
    """Print a short answer, the project's own function and what to notice. Raises `InputError` before it is solved."""
    if request.name is None:
        raise InputError("solution needs the name of an exercise that you have solved")
    exercise = folder.named(request.name)
    if exercise.name not in folder.done:
        raise InputError(f"{exercise.name} isn't solved yet; `ovis2-ref exercise hint {exercise.name}` helps")
    print(f"A short answer:\n\n{exercise.source}")
    for function in exercise.solution:
        print(f"The project's own, in {function.__module__}:\n\n{inspect.getsource(function)}")
    print(f"Notice: {exercise.notice}")
    return 0


def handout(folder: Folder, request: Request) -> int:
    """Print one page on a session, as Markdown; without one, the sessions."""
    if request.session:
        print(course.handout(request.session), end="")
        return 0
    for number, session in enumerate(course.SESSIONS, start=1):
        print(f"{number}  {session.minutes:3d} min  {session.title}: {', '.join(session.names)}")
    return 0


def show_assembled(folder: Folder, request: Request) -> int:
    """Run the tiny model on the student's functions; 1 if it answers a sample otherwise than the project's."""
    return assemble(folder)


def _chosen(folder: Folder, request: Request) -> Exercise:
    if request.name is not None:
        return folder.named(request.name)
    exercises = _of_session(folder, request)
    return folder.next(exercises) or exercises[-1]


def _of_session(folder: Folder, request: Request) -> tuple[Exercise, ...]:
    return course.SESSIONS[request.session - 1].exercises if request.session else folder.exercises


COMMANDS: dict[str, Callable[[Folder, Request], int]] = {
    "list": list_exercises,
    "next": show_next,
    "check": check_exercise,
    "watch": watch,
    "hint": hint,
    "reset": reset,
    "solution": solution,
    "handout": handout,
    "assemble": show_assembled,
}


def run_command(command: str, request: Request) -> int:
    """Run one of `COMMANDS` in the folder that is asked for, or the student's own, and return its exit status."""
    if request.session is not None and not 1 <= request.session <= len(course.SESSIONS):
        raise InputError(f"there is no session {request.session}; `ovis2-ref exercise handout` lists them")
    folder = Folder.given(Path(request.folder), EXERCISES) if request.folder else Folder.open(Path.cwd(), EXERCISES)
    return COMMANDS[command](folder, request)
