"""What runs in the process of a submission: `python -P submission.py FILE NAME CASES`. It imports nothing of the package.

CASES is a file of JSON: the inputs of every case, and nothing of what is expected. The process answers on its standard
output, a line of JSON for each case. The parent trusts none of these lines: it reads plain values from them and compares these
itself. So whatever a submission does in here, patched modules, threads or `os._exit`, can change the values and nothing else.

What a submission may not do raises `PermissionError` in it: read the package (it holds the answers), write files, start
processes, open sockets. The rules are an audit hook's, which Python code can't take out. C can: what a C library opens by
itself, `ctypes` and private C modules are out of their reach. So mark the work of strangers in a container.
"""

import base64
import contextlib
import copy
import importlib.util
import inspect
import io
import json
import os
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

MEMORY = 2 << 30
"""Bytes that a submission may allocate (on Linux)."""
PRINTED = 2000
"""Letters that are kept of what a call prints, and of an error's message."""
FRAMES = 8
"""Lines of the student's file that are shown of an error's way."""
BREAKPOINT = {"breakpoint": True}
"""Says that somebody is at the prompt, so that no time limit holds."""
FORBIDDEN = (
    *("os.fork", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.kill", "os.startfile", "subprocess.Popen"),
    *("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown"),
    *("os.utime", "shutil", "tempfile", "socket", "resource", "pty.spawn", "ctypes.dlopen", "sqlite3.connect"),
    *("gc.get_objects", "gc.get_referrers", "gc.get_referents", "sys._current_frames"),
)
"""Audit events that are refused, by name or by the part before the dot."""


@dataclass(frozen=True)
class Other:
    """A value that can't be a result: its type in words."""

    kind: str


@dataclass(frozen=True)
class Outcome:
    """What a function did with one case."""

    value: Any = None
    error: str = ""
    """The type of the exception that it raised."""
    message: str = ""
    lines: list[str] = field(default_factory=list)
    """The lines of the student's file that led to it."""
    changed: str = ""
    """The name of an argument that the function wrote into."""
    printed: str = ""


class Bounded(io.StringIO):
    """Keeps the first `PRINTED` letters of what is written."""

    def write(self, text: str) -> int:
        """Keep what there is room for."""
        super().write(text[: max(0, PRINTED + 1 - self.tell())])
        return len(text)

    def kept(self) -> str:
        """Return what was kept, and a mark where more was written."""
        return short(self.getvalue())


def short(text: str) -> str:
    """Return at most `PRINTED` letters of `text`."""
    return text if len(text) <= PRINTED else f"{text[:PRINTED]} ..."


def run(function: Callable[..., Any], inputs: dict[str, Any], file: str = "") -> Outcome:
    """Call `function` with a copy of `inputs`; note its result, its error, what it printed, and what it wrote into."""
    given, printed = copy.deepcopy(inputs), Bounded()
    try:
        with contextlib.redirect_stdout(printed), np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
            value = function(**given)
    except (Exception, SystemExit) as error:
        return raised(error, file, printed.kept())
    changed = (name for name, was in inputs.items() if not callable(was) and plain(given[name]) != plain(was))
    return Outcome(value, changed=next(changed, ""), printed=printed.kept())


def raised(error: BaseException, file: str, printed: str = "") -> Outcome:
    """Return what is to be said of `error`; of a long way through the student's file, its first and last lines."""
    way = traceback.StackSummary.extract(traceback.walk_tb(error.__traceback__), lookup_lines=False)
    frames = [frame for frame in way if frame.filename == file]
    lines = [f"line {frame.lineno}: {frame.line}" for frame in frames]
    if isinstance(error, SyntaxError) and error.filename == file:
        lines = [f"line {error.lineno}: {(error.text or '').strip()}"]
        return Outcome(error=type(error).__name__, message=short(str(error.msg)), lines=lines)
    if len(lines) > FRAMES:
        lines = [*lines[:2], f"... {len(lines) - FRAMES} more ...", *lines[-(FRAMES - 2) :]]
    return Outcome(error=type(error).__name__, message=short(str(error)), lines=lines, printed=printed)


def plain(value: Any) -> Any:
    """Return `value` as JSON can hold it; `restored` is its inverse. Arrays become bytes, and their classes are forgotten."""
    if value is None or isinstance(value, bool | str):
        return value if value is None or isinstance(value, bool) else {"text": str(value)}
    if isinstance(value, np.ndarray | np.generic):
        array = np.array(value, subok=False, order="C")
        if array.dtype.kind not in "biufcSU":
            return {"other": f"array of {array.dtype}" if array.ndim else str(array.dtype)}
        data = base64.b64encode(array.tobytes()).decode()
        return {"array" if isinstance(value, np.ndarray) else "scalar": [array.dtype.str, list(array.shape), data]}
    if isinstance(value, int | float):
        return {
            "int" if isinstance(value, int) else "float": str(int(value) if isinstance(value, int) else float(value))
        }
    if isinstance(value, list | tuple):
        return {"list" if isinstance(value, list) else "tuple": [plain(part) for part in value]}
    if isinstance(value, dict):
        return {"dict": [[plain(name), plain(part)] for name, part in value.items()]}
    return {"other": type(value).__name__}


def restored(form: Any) -> Any:
    """Return the value that `plain` made `form` of. Raises ValueError, TypeError or KeyError for anything else."""
    if form is None or isinstance(form, bool):
        return form
    ((kind, content),) = form.items()
    match kind:
        case "text" | "other":
            return str(content) if kind == "text" else Other(str(content))
        case "int" | "float":
            return int(content) if kind == "int" else float(content)
        case "list" | "tuple":
            parts = [restored(part) for part in content]
            return parts if kind == "list" else tuple(parts)
        case "dict":
            return {restored(name): restored(part) for name, part in content}
        case "array" | "scalar":
            dtype, shape, data = content
            if np.dtype(dtype).kind not in "biufcSU":
                raise ValueError(f"no type of a result: {dtype}")
            array = np.frombuffer(base64.b64decode(data), np.dtype(dtype)).reshape(shape).copy()
            return array if kind == "array" else array[()]
    raise ValueError(f"no result: {kind}")


def plain_inputs(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return a case's arguments as JSON can hold them; a function is its source, an object of a class that and its fields."""

    def form(value: Any) -> Any:
        if inspect.isfunction(value):
            return {"function": [value.__name__, inspect.getsource(value), None]}
        if callable(value):
            return {"function": [type(value).__name__, inspect.getsource(type(value)), vars(value)]}
        return plain(value)

    return {name: form(value) for name, value in inputs.items()}


def restored_inputs(forms: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that `plain_inputs` was given. It runs the source of functions: only for what the parent wrote."""

    def value(form: Any) -> Any:
        if not isinstance(form, dict) or "function" not in form:
            return restored(form)
        name, source, fields = form["function"]
        namespace: dict[str, Any] = {"np": np, "dataclass": dataclass, "__name__": "cases"}
        sys.modules.setdefault("cases", type(sys)("cases"))
        exec(source, namespace)
        return namespace[name] if fields is None else namespace[name](**fields)

    return {name: value(form) for name, form in forms.items()}


def packages() -> list[Path]:
    """Return the folders of this package: the one that this file lies in, and those that an import would find."""
    own = Path(__file__).resolve().parents[1]
    spec = importlib.util.find_spec(own.name)
    found = [
        *(Path(base, own.name) for base in sys.path),
        *map(Path, spec.submodule_search_locations or () if spec else ()),
    ]
    return list({own, *(folder.resolve() for folder in found if folder.is_dir())})


def guard(packages: list[Path]) -> None:
    """Refuse from now on to read the files of `packages`, and all of `FORBIDDEN`.

    Files are told by their inodes, so no way of writing a path hides one. The hook uses no name that a submission could give
    another value: constants are its defaults.
    """
    status = [os.stat(path) for package in packages for path in (package, *package.rglob("*"))]
    own = frozenset((at.st_ino, at.st_dev) for at in status)
    null = (os.stat(os.devnull).st_ino, os.stat(os.devnull).st_dev)
    proc = os.stat("/proc/self").st_dev if os.path.exists("/proc/self") else -1
    above = list(
        {f"{base}{os.sep}" for package in packages for base in package.parents}
    )  # a relative path may start at the folder of a descriptor
    starts = {str: ("", *above), bytes: (b"", *(base.encode() for base in above))}
    modes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    names, builtin = frozenset(FORBIDDEN), (type, os.stat, str.partition, PermissionError, (OSError, ValueError), int)

    def hook(
        event: str,
        arguments: tuple[Any, ...],
        answers: Any = own,
        processes: Any = proc,
        devnull: Any = null,
        writing: Any = modes,
        bases: Any = starts,
        forbidden: Any = names,
        known: Any = builtin,
    ) -> None:
        type_of, stat, partition, error, failed, number = known
        if event in forbidden or partition(event, ".")[0] in forbidden:
            raise error(f"an exercise doesn't use {event}")
        if event != "open" or type_of(arguments[0]) is number:
            return
        if type_of(arguments[0]) not in bases:
            raise error("an exercise opens files by plain names")
        places = []
        for base in bases[type_of(arguments[0])]:
            try:
                found = stat(base + arguments[0])
            except failed:
                continue
            places += [(found[1], found[2])]
            if places[-1] in answers:
                raise error("ovis2_ref holds the answers: write the function yourself")
            if found[2] == processes:
                raise error("an exercise doesn't look into processes")
        if arguments[2] and arguments[2] & writing and places[:1] != [devnull]:
            raise error("an exercise writes no files")

    sys.addaudithook(hook)


def limit() -> None:
    """Bound the memory, and let no file grow, where the system can."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def at_the_terminal(answer: Callable[[Any], None]) -> Callable[..., None]:
    """Return what `breakpoint()` calls: Python's debugger, at the terminal if there is one, without the time limit."""

    def stop(*arguments: Any, **more: Any) -> None:
        if not (sys.stdin and sys.stdin.isatty() and os.isatty(2)):
            raise RuntimeError("breakpoint() needs a terminal: run `ovis2-ref exercise check NAME` in one")
        import pdb

        answer(BREAKPOINT)
        os.dup2(2, 1)
        sys.stdout = sys.__stdout__
        pdb.Pdb().set_trace(sys._getframe(1))

    return stop


def load(path: Path, name: str) -> Any:
    """Run the file at `path`, and return its function `name`; None if it has none."""
    namespace: dict[str, Any] = {"__name__": f"exercise_{name}", "__file__": str(path)}
    exec(compile(path.read_text(encoding="utf-8-sig"), str(path), "exec"), namespace)
    return namespace.get(name)


def main(file: str, name: str, cases: str) -> None:
    """Load the function, run every case, and answer a line for each; one line with an error if it can't be loaded."""
    path, channel = Path(file), os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    inputs = [restored_inputs(forms) for forms in json.loads(Path(cases).read_text(encoding="utf-8"))]
    lock = threading.Lock()

    def answer(form: Any) -> None:
        with lock:
            channel.write(json.dumps(form).encode() + b"\n")

    sys.breakpointhook = at_the_terminal(answer)
    sys.path.append(str(path.parent))
    sys.dont_write_bytecode = True
    sys.argv = [file]
    limit()
    guard(packages())
    printed = Bounded()
    try:
        with contextlib.redirect_stdout(printed):
            function = load(path, name)
    except (Exception, SystemExit) as error:
        answer({"loaded": vars(raised(error, file, printed.kept()))})
    else:
        answer({"loaded": callable(function)})
        for case in inputs if callable(function) else ():
            outcome = run(function, case, file)
            try:
                answer({**vars(outcome), "value": plain(outcome.value)})
            except Exception as error:  # a list inside itself, say
                answer({**vars(raised(error, file, outcome.printed)), "value": None})
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
