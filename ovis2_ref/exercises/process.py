"""Run a submission in a process of its own, bounded in time, memory and output, and read what it answers.

Nothing that comes from there is believed but plain values, and these have to be right. What is expected never leaves this
process.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from ovis2_ref.exercises import submission
from ovis2_ref.exercises.exercise import Inputs
from ovis2_ref.exercises.submission import BREAKPOINT, FRAMES, Outcome, plain_inputs, restored, short

PATIENCE = 10.0
"""Seconds that a file's import and all cases of its exercise may take; a right answer needs a few tenths."""
ANSWER = 16 << 20
"""Bytes that a process may answer."""


class UnusableError(Exception):
    """A submission gave no results: it can't be run, is late, or ends early. The message says so to the student."""


def outcomes(path: Path, name: str, cases: list[Inputs], patience: float | None = None) -> list[Outcome]:
    """Return what function `name` of the file at `path` does with every case. Raises `UnusableError` if it can't be told.

    At a terminal `breakpoint()` works in the file; while somebody is at its prompt the time isn't counted.
    """
    lines, why = _answers(path, name, cases, PATIENCE if patience is None else patience)
    if lines and isinstance(lines[0], dict) and isinstance(loaded := lines[0].get("loaded"), dict):
        raise UnusableError(f"{path} can't be run.\n\n{_said(loaded)}")
    if lines and lines[0] == {"loaded": False}:
        raise UnusableError(f"{path} has no function {name}. Keep its name and its arguments.")
    try:
        results = [_outcome(line) for line in lines[1:]]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise UnusableError(f"the process that ran {path} wrote what can't be read as results.") from None
    if len(results) != len(cases):
        raise UnusableError(why)
    return results


def _outcome(line: Any) -> Outcome:
    words = {name: _clean(line[name]) for name in ("error", "message", "changed", "printed")}
    return Outcome(restored(line["value"]), lines=[_clean(text) for text in line["lines"][: FRAMES + 1]], **words)


def _clean(text: Any) -> str:
    """Return so much of a text as may be shown, without what a terminal takes for commands."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "?" for letter in short(str(text)))


def _said(loaded: dict[str, Any]) -> str:
    lines = loaded.get("lines", [])
    where = "".join(f"    {_clean(line)}\n" for line in lines[: FRAMES + 1]) if isinstance(lines, list) else ""
    return f"{where}{_clean(loaded.get('error'))}: {_clean(loaded.get('message'))}"


def _answers(path: Path, name: str, cases: list[Inputs], patience: float) -> tuple[list[Any], str]:
    """Return the lines that the process answered, read as JSON, and what to say if there are too few of them."""
    terminal = bool(sys.stdin and sys.stdin.isatty() and sys.stderr and sys.stderr.isatty())
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder, "cases.json")
        given.write_text(json.dumps([plain_inputs(inputs) for inputs in cases]), encoding="utf-8")
        process = subprocess.Popen(
            [sys.executable, "-P", "-X", "utf8", submission.__file__, str(path), name, str(given)],
            stdin=None if terminal else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=None if terminal else subprocess.DEVNULL,
            cwd=path.parent,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
            start_new_session=not terminal,
        )
        try:
            return _read(process, len(cases), patience, terminal, path)
        finally:
            _end(process, terminal)


def _read(
    process: subprocess.Popen[bytes], count: int, patience: float, terminal: bool, path: Path
) -> tuple[list[Any], str]:
    """Read a line for the file and one for each case, as long as there is time and room."""
    lines: list[Any] = []
    why = f"the process that ran {path} ended before all cases were done."
    finished, at_prompt = threading.Event(), threading.Event()

    def read() -> None:
        nonlocal why
        assert process.stdout is not None
        room = ANSWER
        while len(lines) <= count and (line := process.stdout.readline(room)):
            room -= len(line)
            if room <= 0:
                why = f"the results are larger than {ANSWER >> 20} MB."
                break
            try:
                form = json.loads(line)
            except (ValueError, RecursionError):
                why = f"the process that ran {path} wrote what can't be read as results."
                break
            if form == BREAKPOINT:
                at_prompt.set()
            else:
                lines.append(form)
        finished.set()

    threading.Thread(target=read, daemon=True).start()
    if not finished.wait(patience):
        if terminal and at_prompt.is_set():
            finished.wait()
        else:
            return lines[:], f"no result after {patience:.0f} seconds. Is there a loop that never ends?"
    return lines, why


def _end(process: subprocess.Popen[bytes], terminal: bool) -> None:
    """End the process, and all that it started where it has a session of its own."""
    if os.name == "posix" and not terminal:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
