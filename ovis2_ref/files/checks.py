"""One way to check a value that came from a file or a caller: each check returns the value, or raises an error of ours.

A message says the name, what was given (cut to a readable length) and what was expected.
"""

import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from ovis2_ref.errors import InputError, OvisError

Raise = Callable[[str], OvisError]
"""Which error to raise: a class of `errors`, or a function that makes one of a message."""

LARGEST_WHOLE = 2**31 - 1
"""The largest whole number of any setting."""


def shown(value: Any, most: int = 100) -> str:
    """Return `value` as a message shows it: its `repr`, cut after `most` characters; an array by its shape; or the type where
    even that fails.

    >>> shown("a" * 200, most=5), shown(np.zeros((2, 3)))
    ("'aaaa...", '<ndarray of shape (2, 3)>')
    """
    try:
        shape = getattr(value, "shape", None)
        if shape is not None:
            return f"<{type(value).__name__} of shape {tuple(shape)}>"
        text = repr(value)
    except Exception:  # whole numbers of more than 4,300 digits, and objects whose own repr raises
        return f"a {type(value).__name__}"
    return text if len(text) <= most else f"{text[:most]}..."


def is_whole(value: Any) -> bool:
    """Return True for a whole number, Python's or NumPy's; True and False are none."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    """Return True for a number that a float can hold, Python's or NumPy's; NaN, the infinities, True and False are none."""
    real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    return bool(real and abs(value) <= sys.float_info.max)


def whole(name: str, value: Any, least: int = 0, most: int = LARGEST_WHOLE, error: Raise = InputError) -> int:
    """Return `value` as an int from `least` to `most`; a member of an IntEnum, such as Pillow's Resampling, is a whole
    number, too.
    """
    if not (is_whole(value) and least <= value <= most):
        bounds = "above 0" if (least, most) == (1, LARGEST_WHOLE) else f"from {least} to {most}"
        raise error(f"{name}={shown(value)} should be a whole number {bounds}")
    return int(value)


def number(name: str, value: Any, least: float, most: float, error: Raise = InputError) -> float:
    """Return `value` as a float from `least` to `most`."""
    if not (is_number(value) and least <= value <= most):
        raise error(f"{name}={shown(value)} should be a number from {least:g} to {most:g}")
    return float(value)


def flag(name: str, value: Any, error: Raise = InputError) -> bool:
    """Return `value` if it is True or False."""
    if not isinstance(value, bool):
        raise error(f"{name}={shown(value)} should be True or False")
    return value


def choice(name: str, value: Any, allowed: Collection[Any], error: Raise = InputError) -> Any:
    """Return `value` if it is one of `allowed`: texts, None, True or False."""
    if not any(value is one or (isinstance(value, str) and value == one) for one in allowed):
        raise error(f"{name}={shown(value)} should be one of {', '.join(map(repr, allowed))}")
    return value


def mapping(name: str, value: Any, error: Raise = InputError) -> dict[str, Any]:
    """Return `value`, a dictionary or None, as a new dictionary."""
    if value is not None and not isinstance(value, Mapping):
        raise error(f"{name} should be a dictionary, not {shown(value)}")
    return dict(value or {})


def check_flags(**flags: Any) -> None:
    """Raise `InputError` unless each of `flags` is True, False or None (the default)."""
    for name, value in flags.items():
        choice(name, value, (True, False, None))
