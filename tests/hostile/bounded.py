"""Run one case in a separate process: bounds on its time, memory and files, and a watch on what it opens and starts.

The process is a fork, so that a case costs milliseconds; what it may not do is reported, whether or not it raised.
"""

import math
import os
import pickle
import resource
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ovis2_ref.errors import OvisError
from tests.checkpoint.memory import forget_peak, peak_bytes

LARGEST_FILE = 2**28
"""Bytes of a file that a case may write."""
FORBIDDEN = (
    "pickle.", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.spawn", "os.startfile", "subprocess.", "socket.connect",
    "socket.bind", "webbrowser.",
)  # fmt: skip
"""Audit events of programs that are started, pickles that are read and connections that are made."""


class Outcome(NamedTuple):
    """How a case ended."""

    kind: str
    """"right", "refused" (an error of ours), "foreign" (another's), "forbidden" (an audit event), "hung" or "died"."""
    message: str
    seconds: float
    """Of processor time, except for what hung."""
    peak: int
    """Bytes by which the process grew at its largest."""
    value: Any = None
    opened: tuple[str, ...] = ()


def bounded(case: Callable[[], Any], seconds: float = 60.0, allowed: tuple[str | Path, ...] = ()) -> Outcome:
    """Run `case` in a fork of this process: for `seconds` of processor time, and twenty times as long on a busy machine.

    Files outside of `allowed` and of Python's own folders count as forbidden.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), math.ceil(seconds) + 1))
        _run(case, writing, tuple(str(folder) for folder in allowed))
    os.close(writing)
    begin, patience, received = time.monotonic(), 20 * seconds, b""
    while (left := begin + patience - time.monotonic()) > 0 and select.select([reading], [], [], left)[0]:
        chunk = os.read(reading, 2**16)
        if not chunk:
            break
        received += chunk
    taken = time.monotonic() - begin
    if taken >= patience:
        os.kill(child, signal.SIGKILL)
    os.close(reading)
    status = os.waitpid(child, 0)[1]
    if taken >= patience or (os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)):
        return Outcome("hung", f"more than {seconds} seconds", taken, 0)
    if status or not received:
        return Outcome("died", f"wait status {status}", taken, 0)
    return Outcome(*pickle.loads(received))


def _run(case: Callable[[], Any], writing: int, allowed: tuple[str, ...]) -> None:
    opened: list[str] = []
    deeds: list[str] = []

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str):
            opened.append(arguments[0])
        elif event.startswith(FORBIDDEN):
            deeds.append(event)

    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115  warnings and panics of thousands of cases
    os.dup2(sys.stderr.fileno(), 2)
    forget_peak()
    before, begin = peak_bytes(), time.process_time()
    sys.addaudithook(watch)
    value: Any = None
    try:
        value, kind, message = case(), "right", ""
    except OvisError as error:
        kind, message = "refused", str(error)
    except BaseException as error:
        kind, message = "foreign", f"{type(error).__name__}: {error}"[:500]
    seconds = time.process_time() - begin
    own = (sys.prefix, sys.base_prefix, os.devnull, "/proc/", str(Path(__file__).parents[2]), *allowed)
    strangers = [path for path in opened if not path.startswith(own)]
    if deeds or (allowed and strangers):
        kind, message = "forbidden", f"{deeds} {strangers}"
    with open(writing, "wb") as file:
        file.write(pickle.dumps((kind, message, seconds, peak_bytes() - before, value, tuple(opened))))
    os._exit(0)
