"""Plain records of settings. What a field may be stands beside it: its annotation, and the bounds or the choices of its value."""

from collections.abc import Mapping
from dataclasses import asdict, field, fields
from types import NoneType
from typing import Any, Self, get_args, get_origin

from ovis2_ref.errors import ConfigError, InputError
from ovis2_ref.files.checks import LARGEST_WHOLE, Raise, choice, flag, is_number, mapping, number, shown, whole


def bounded(default: Any, least: float = 1, most: float = LARGEST_WHOLE, only_if: str = "") -> Any:
    """Return a field of numbers from `least` to `most`; `only_if`: looked at only where the field of that name is true."""
    return field(default=default, metadata={"bounds": (least, most), "only_if": only_if})


def one_of(default: Any, *choices: Any) -> Any:
    """Return a field whose value is one of `choices`."""
    return field(default=default, metadata={"choices": choices})


def check_fields(record: Any, error: Raise = InputError, names: tuple[str, ...] = ()) -> None:
    """Check the fields of a dataclass, or those called `names`: bounds, choices, and True or False for a bool.

    Numbers become Python's own, of the annotation's type. None will do where the annotation says so.
    """
    for f in fields(record):
        value, kinds = getattr(record, f.name), get_args(f.type) or (f.type,)
        only_if = f.metadata.get("only_if")
        if (names and f.name not in names) or (value is None and NoneType in kinds):
            continue
        if "choices" in f.metadata:
            choice(f.name, value, f.metadata["choices"], error)
        elif "bounds" in f.metadata and (not only_if or getattr(record, only_if)):
            checked: Any = number if float in kinds else whole
            object.__setattr__(record, f.name, checked(f.name, value, *f.metadata["bounds"], error))
        elif f.type is bool:
            flag(f.name, value, error)


class Record:
    """A dataclass of configuration values, to and from dictionaries of JSON; its annotations check the fields."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make the record that `values` describe; keys that don't change a number (`transformers_version`, ...) are left out."""
        values = mapping(f"the values of {cls.__name__}", values, ConfigError)
        known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
        return cls(**{key: value for key, value in values.items() if key in known})

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON spells it."""
        values = asdict(self)  # type: ignore[call-overload]
        parts = {name: getattr(self, name) for name in values if isinstance(getattr(self, name), Record)}
        return {**values, **{name: part.to_dict() for name, part in parts.items()}}

    def expect(self, holds: bool, message: str) -> None:
        """Raise `ConfigError` with `message` unless it `holds`."""
        if not holds:
            raise self.fault(message)

    def fault(self, message: str) -> ConfigError:
        """Return the error that says `message` about this record."""
        return ConfigError(f"{type(self).__name__}: {message}")

    def expect_types(self, *names: str) -> None:
        """Check that the fields called `names`, or all, fit their annotations; convert a whole number in a float field."""
        for f in fields(self):  # type: ignore[arg-type]
            value, kind = getattr(self, f.name), f.type
            if not names or f.name in names:
                self.expect(_fits(value, kind), f"{f.name}={shown(value)} should be {getattr(kind, '__name__', kind)}")
                if kind is float:
                    setattr(self, f.name, float(value))

    def expect_bounds(self, *names: str) -> None:
        """Check the bounds and the choices that stand beside the fields called `names`, or all."""
        check_fields(self, self.fault, names)


def _fits(value: Any, kind: Any) -> bool:
    """Return True if `value` is what the annotation `kind` says; true and false are no numbers, NaN and infinity no floats."""
    if get_origin(kind) is list:
        return isinstance(value, list) and all(_fits(item, get_args(kind)[0]) for item in value)
    if get_origin(kind) is dict:
        return isinstance(value, dict)
    if get_args(kind):
        return any(_fits(value, option) for option in get_args(kind))
    if kind is int:
        return type(value) is int
    if kind is float:
        return type(value) in (int, float) and is_number(value)
    return isinstance(value, kind)
