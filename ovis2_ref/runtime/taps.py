"""Taps: every intermediate value has a name, and listeners receive the values in execution order.

    with recording() as values:
        model(**inputs)
    values["model.vision_tower.transformer.encoder.layers.3.attention.weights"]

A tap is named after the module that makes the value, in the checkpoint's own naming, plus a last word for what is inside it.
Listeners nest: every open one receives the value. With none open, a tap costs one comparison.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from ovis2_ref.runtime.arrays import Array


class Listener(NamedTuple):
    """A function that receives values, and a test of the names that it wants."""

    take: Callable[[str, Array], None]
    wants: Callable[[str], bool]


_listeners: ContextVar[tuple[Listener, ...]] = ContextVar("ovis2_ref_listeners", default=())


def tap(name: str, array: Array) -> None:
    """Show `array` under `name` to every open listener that wants it."""
    for listener in _listeners.get():
        if listener.wants(name):
            listener.take(name, array)


def anybody_listens() -> bool:
    """Return True if any listener is open."""
    return bool(_listeners.get())


def is_listening(name: str) -> bool:
    """Return True if an open listener wants `name`: to decide whether to assemble a value only for listeners."""
    return any(listener.wants(name) for listener in _listeners.get())


@contextmanager
def listening(take: Callable[[str, Array], None], wants: Callable[[str], bool] = lambda name: True) -> Iterator[None]:
    """Call `take(name, array)` at every tap inside the block whose name it `wants`, beside the listeners already open.

    The array is the model's own: do not write to it.
    """
    token = _listeners.set((*_listeners.get(), Listener(take, wants)))
    try:
        yield
    finally:
        _listeners.reset(token)


@contextmanager
def redirected(translate: Callable[[str, Array], Array]) -> Iterator[None]:
    """Inside the block, show the open listeners `translate(name, value)` in place of every value."""
    listeners = _listeners.get()

    def take(name: str, array: Array) -> None:
        plain = translate(name, array)
        for listener in listeners:
            if listener.wants(name):
                listener.take(name, plain)

    token = _listeners.set((Listener(take, lambda name: True),) if listeners else ())
    try:
        yield
    finally:
        _listeners.reset(token)


@contextmanager
def silence() -> Iterator[None]:
    """Close all listeners inside the block."""
    token = _listeners.set(())
    try:
        yield
    finally:
        _listeners.reset(token)


@contextmanager
def recording(wants: Callable[[str], bool] = lambda name: True) -> Iterator[dict[str, Array]]:
    """Collect a copy of every tapped value inside the block whose name it `wants`, in execution order, as a dict.

    A name that comes again (each step of a generation passes the same modules) gets `#2`, `#3`, ... appended.
    """
    values: dict[str, Array] = {}
    times: dict[str, int] = {}

    def keep(name: str, array: Array) -> None:
        times[name] = times.get(name, 0) + 1
        values[name if times[name] == 1 else f"{name}#{times[name]}"] = array.copy()

    with listening(keep, wants):
        yield values
