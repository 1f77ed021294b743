"""Check the arguments of scripts: arguments that change nothing, unknown names, values of the wrong kind."""

import difflib
import inspect
from collections.abc import Callable, Collection, Mapping
from functools import wraps
from typing import Any

from ovis2_ref.compat.idle import Idle, IdleArguments
from ovis2_ref.errors import InputError
from ovis2_ref.files.checks import shown


def active(call: str, options: Mapping[str, Any], table: IdleArguments) -> dict[str, Any]:
    """Return `options` without those in `table`. Raises `InputError` for a value that would change something."""
    for name, entry in table.items():
        value = options.get(name)
        if isinstance(entry, Idle) and value is not None and not any(_same(value, idle) for idle in entry.values):
            raise InputError(f"{call}: {name}={shown(value)} is not supported here: {entry.instead}")
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


def _same(value: Any, idle: Any) -> bool:
    return type(value) is type(idle) and value == idle


def script_arguments(
    table: IdleArguments, renamed: Mapping[str, str]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a method: accept None for a default, the idle arguments of `table`, and other names of its arguments.

    `renamed`: other name -> own name. The method raises `InputError` for an argument that it doesn't have.
    """

    def decorate(method: Callable[..., Any]) -> Callable[..., Any]:
        parameters = inspect.signature(method).parameters
        names = list(parameters)[1:]
        required = [name for name in names if parameters[name].default is inspect.Parameter.empty]

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
            options = given(options)
            for name in required:
                if name not in options:
                    raise InputError(f"{method.__name__} needs {name}")
            return method(self, **options)

        return call

    return decorate
