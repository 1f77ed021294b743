"""The stand-in's CUDA graphs: while a stream is captured, work is written down, and what changes an array is not done.

A replay does all of it again, each result in the memory in which it lay. Copies between host and device raise, as in CuPy.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import numpy as np

Work = list[Callable[[], None]]
_captured: ContextVar[Work | None] = ContextVar("captured", default=None)


def computed(compute: Callable[[], Any]) -> Any:
    """Return what `compute` gives, a number as an array; an array is what a replay computes again."""
    result = compute()
    if not isinstance(result, (np.ndarray, np.generic, bool)):
        return result
    array, work = np.asarray(result), _captured.get()
    if work is not None and array.flags.writeable:
        work.append(lambda: np.copyto(array, compute(), casting="unsafe"))
    return array


def changed(change: Callable[[], None]) -> None:
    """Do `change`, to arrays that are there; while capturing, only write it down."""
    work = _captured.get()
    if work is None:
        change()
    else:
        work.append(change)


def is_capturing() -> bool:
    """Return True while work is written down."""
    return _captured.get() is not None


def refuse_while_capturing(what: str) -> None:
    """Raise what CuPy raises for work that needs the host."""
    if _captured.get() is not None:
        raise RuntimeError(f"the current stream is capturing, so synchronous API calls are not allowed: {what}")


class Graph:
    """What was captured."""

    def __init__(self, work: Work) -> None:
        self.work = work

    def launch(self) -> None:
        with np.errstate(all="ignore"):
            for step in self.work:
                step()

    def debug_dot_str(self) -> str:
        """Return the graph in DOT, one node for each piece of work."""
        return "digraph {\n" + "".join(f'"{i}" [label="kernel"]\n' for i in range(len(self.work))) + "}"


class Stream:
    """A stream; all of them run in the order of the calls. The parts of `cupy.cuda.Stream` that capture needs."""

    def __init__(self, non_blocking: bool = False) -> None:
        self.token: Any = None
        self.before: Any = None
        self.ptr = 0 if not non_blocking else id(self)
        """What CUDA knows the stream by; 0 is the default one."""

    def __enter__(self) -> "Stream":
        self.before = _current.set(self)
        return self

    def __exit__(self, *error: Any) -> None:
        _current.reset(self.before)

    def synchronize(self) -> None:
        refuse_while_capturing("synchronize")

    def begin_capture(self) -> None:
        self.token = _captured.set([])

    def end_capture(self) -> Graph:
        graph = Graph(_captured.get())  # type: ignore[arg-type]
        _captured.reset(self.token)
        return graph

    def is_capturing(self) -> bool:
        return is_capturing()


_current: ContextVar[Stream] = ContextVar("current", default=Stream())  # noqa: B039  one default stream for all


@contextmanager
def using_allocator(allocator: Callable[[int], Any]) -> Iterator[None]:
    """Memory comes from NumPy all the same, and isn't used twice."""
    yield


def streams() -> dict[str, Any]:
    """Return the names in `cupy.cuda`."""
    return {
        "Stream": Stream,
        "get_current_stream": _current.get,
        "MemoryPool": lambda: SimpleNamespace(malloc=lambda size: None),
        "using_allocator": using_allocator,
    }
