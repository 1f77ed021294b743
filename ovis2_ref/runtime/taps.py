"""Taps: every value that a port would want to compare has a name, and a recording collects them in execution order.

    with recording() as values:
        model(**inputs)
    values["model.vision_tower.transformer.encoder.layers.3.attention.weights"]

A tap is named after the module that makes the value, in the checkpoint's own naming, plus a last word for what is inside it.
Without an open recording a tap is one comparison with None.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from ovis2_ref.runtime.arrays import Array


class _Listener(NamedTuple):
    take: Callable[[str, Array], None]
    wants: Callable[[str], bool]


_listener: ContextVar[_Listener | None] = ContextVar("ovis2_ref_tap", default=None)


def tap(name: str, array: Array) -> None:
    """Show `array`, under `name`, to the recording that is open; do nothing when none is."""
    listener = _listener.get()
    if listener is not None and listener.wants(name):
        listener.take(name, array)


def is_listening(name: str) -> bool:
    """True if an open recording wants `name`: for values that have to be put together before they can be shown."""
    listener = _listener.get()
    return listener is not None and listener.wants(name)


@contextmanager
def listening(take: Callable[[str, Array], None], wants: Callable[[str], bool] = lambda name: True) -> Iterator[None]:
    """Call `take(name, array)` at every tap inside the block whose name it `wants`. The array is live: copy what you keep."""
    token = _listener.set(_Listener(take, wants))
    try:
        yield
    finally:
        _listener.reset(token)


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
