"""Threads: independent tasks on as many threads as there are cores, each with BLAS limited to one thread.

How work is cut into tasks depends on shapes alone while values are recorded, and a task's arithmetic is that of one thread. So a
recording has the same bits on any number of threads; `products.py` and `parts.py` say what differs without one.
"""

import os
from collections.abc import Callable, Sequence
from contextvars import Context, ContextVar, copy_context
from functools import cache
from itertools import count
from queue import SimpleQueue
from threading import Lock, Thread
from time import sleep
from typing import Any, TypeAlias, TypeVar

from threadpoolctl import LibController, ThreadpoolController

from ovis2_ref.errors import InputError

Result = TypeVar("Result")

VARIABLES = ("OVIS2_REF_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Environment variables that set the number of threads; the first that holds a whole number above 0 is used."""

_chosen: int | None = None
_inside: ContextVar[bool] = ContextVar("ovis2_ref_inside_a_task", default=False)


def num_threads() -> int:
    """Return how many threads compute: what `set_num_threads` chose, else an environment variable, else the number of cores."""
    if _chosen is not None:
        return _chosen
    return _default_threads()


@cache
def _default_threads() -> int:
    for variable in VARIABLES:
        value = os.environ.get(variable, "")
        if value.isascii() and value.isdecimal() and 0 < int(value) < 10_000:
            return int(value)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_num_threads(number: Any) -> None:
    """Compute on `number` threads from now on. Recorded values don't depend on it. Raises `InputError` for less than 1."""
    global _chosen
    if type(number) is not int or number < 1:
        raise InputError(f"set_num_threads takes a whole number above 0, not {number!r}")
    _chosen = number


def inside_task() -> bool:
    """Return True in code that already runs as one of several tasks."""
    return _inside.get()


def run_tasks(tasks: Sequence[Callable[[], Result]]) -> list[Result]:
    """Run `tasks` and return their results in order. Tasks of tasks run on the thread of the outer one.

    The calling thread works, too. After an exception or an interrupt no new task starts, and the running ones are awaited.
    """
    results: list[Any] = [None] * len(tasks)
    errors: list[BaseException] = []
    started, finished = list[Lock](), list[bool]()
    numbers = count()

    def work() -> None:
        token = _inside.set(True)
        try:
            while not errors and (number := next(numbers)) < len(tasks):
                results[number] = tasks[number]()
        except BaseException as error:
            errors.append(error)  # stops the other threads, too
        finally:
            _inside.reset(token)

    def help_out() -> None:
        work()
        finished.append(True)

    with blas_threads(1):
        try:
            for _ in range(0 if _inside.get() else min(num_threads(), len(tasks)) - 1):
                end = Lock()
                end.acquire()
                _queue(num_threads()).put((copy_context(), help_out, end))
                started.append(end)
            work()
            for end in started:
                end.acquire()
        except KeyboardInterrupt as error:  # here, or while it waited
            errors.append(error)
            while len(finished) < len(started):
                sleep(0.001)
    if errors:
        raise errors.pop(0)
    return results


Job: TypeAlias = tuple[Context, Callable[[], None], Lock]
"""Work for a waiting thread, the context to do it in, and a lock that is released when it is done."""


@cache
def _queue(threads: int) -> SimpleQueue[Job]:
    """Return the queue of so many threads. (`ThreadPoolExecutor` takes longer to start a task: 4 % of a small model's tile.)"""
    queue = SimpleQueue[Job]()
    for _ in range(threads):
        Thread(target=_serve, args=(queue,), name="ovis2_ref", daemon=True).start()
    return queue


def _serve(queue: SimpleQueue[Job]) -> None:
    while True:
        context, work, end = queue.get()
        context.run(work)
        end.release()
        del context, work, end  # they hold the arrays


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_queue.cache_clear)  # a forked process has the queue, but not its threads


@cache
def _blas() -> list[LibController]:
    return ThreadpoolController().select(user_api="blas").lib_controllers


class blas_threads:  # noqa: N801
    """Inside the block BLAS uses `number` threads for each call, in the whole process; afterwards as many as before.

    Inside a task it is one thread, whatever `number`. It takes a microsecond: a decoding step has hundreds.
    """

    def __init__(self, number: int) -> None:
        self.number = 1 if _inside.get() else number

    def __enter__(self) -> None:
        now = [(library, library.get_num_threads()) for library in _blas()]
        self.changed = [(library, before) for library, before in now if before != self.number]
        for library, _ in self.changed:
            library.set_num_threads(self.number)

    def __exit__(self, *error: object) -> None:
        for library, before in self.changed:
            library.set_num_threads(before)
