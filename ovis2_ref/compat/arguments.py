"""Check the arguments of scripts: arguments that change nothing, unknown names, values of the wrong kind."""

import difflib
import inspect
from collections.abc import Callable, Collection, Mapping
from functools import wraps
from typing import Any

import numpy as np

from ovis2_ref.compat.idle import Idle, Table
from ovis2_ref.errors import InputError
from ovis2_ref.files.checks import shown


def active(call: str, options: Mapping[str, Any], table: Table) -> dict[str, Any]:
    """Return `options` without those in `table`. Raises `InputError` for a value that would change something."""
    for name, entry in table.items():
        value = options.get(name)
        if isinstance(entry, Idle) and value is not None and not any(_same(value, idle) for idle in entry.values):
            raise InputError(f"{call}: {name}={brief(value)} is not supported here: {entry.instead}")
    return {name: value for name, value in options.items() if name not in table}


def check_names(call: str, options: Collection[str], known: Collection[str]) -> None:
    """Raise `InputError` for the first of `options` that is not among the `known` names."""
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(sorted(known))}"
            raise InputError(f"{call} has no argument {name!r}; {hint}")


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return `options` without those that are None, which means the default."""
    return {name: value for name, value in options.items() if value is not None}


ARRAYS = ("input_ids", "inputs_embeds", "pixel_values", "attention_mask", "position_ids", "labels", "logits_to_keep")
"""Arguments that are arrays, or nested lists."""

METHODS = {"past_key_values": "update", "streamer": "put", "generation_config": "items", "tokenizer": "decode"}
"""Arguments that are objects, and a method that each must have."""


def checked_value(name: str, value: Any) -> Any:
    """Return the value of an argument, nested lists as an array. Raises `InputError` for a value of the wrong kind."""
    if name in ARRAYS and not hasattr(value, "ndim") and not isinstance(value, int):
        try:
            array = np.asarray(value)
        except ValueError:
            array = np.asarray(None)
        if array.dtype.kind not in "biuf":
            raise InputError(f"{name} should be an array of numbers, not {brief(value)}")
        return array
    if name in METHODS and not hasattr(value, METHODS[name]):
        raise InputError(f"{name}={brief(value)} has no {METHODS[name]}, and can't be used")
    return value


def mapping(name: str, value: Any) -> dict[str, Any]:
    """Return the argument `name`, a dictionary or None, as a new dictionary. Raises `InputError` for another kind."""
    if value is not None and not isinstance(value, Mapping):
        raise InputError(f"{name} should be a dictionary, not {brief(value)}")
    return dict(value or {})


def brief(value: Any) -> str:
    """Return a short description of a value for an error: arrays, pictures and long texts are not quoted whole."""
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"<{type(value).__name__} of shape {tuple(shape)}>"
    return shown(value, 80)


def _same(value: Any, idle: Any) -> bool:
    return type(value) is type(idle) and value == idle


def script_arguments(table: Table, renamed: Mapping[str, str]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a method: accept None for a default, the idle arguments of `table`, and other names of its arguments.

    `renamed`: other name -> own name. The method raises `InputError` for an argument that it doesn't have.
    """

    def decorate(method: Callable[..., Any]) -> Callable[..., Any]:
        names = list(inspect.signature(method).parameters)[1:]

        @wraps(method)
        def call(self: Any, *arguments: Any, **options: Any) -> Any:
            if len(arguments) > len(names):
                raise InputError(f"{method.__name__} takes {len(names)} arguments, not {len(arguments)}")
            options = {renamed.get(name, name): value for name, value in options.items()}
            twice = [name for name in names[: len(arguments)] if name in options]
            if twice:
                raise InputError(f"{method.__name__} was given {twice[0]} twice")
            options = {**dict(zip(names, arguments, strict=False)), **active(method.__name__, options, table)}
            check_names(method.__name__, options, names)
            return method(self, **{name: checked_value(name, value) for name, value in given(options).items()})

        return call

    return decorate
