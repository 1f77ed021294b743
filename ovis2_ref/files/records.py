"""Plain records of configuration values, to and from dictionaries of JSON; their annotations check the fields."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, Self, get_args, get_origin, get_type_hints

from ovis2_ref.errors import ConfigError
from ovis2_ref.files.checks import LARGEST_WHOLE, is_number, mapping, shown, whole


class Record:
    """A dataclass of configuration values."""

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
        kinds = get_type_hints(type(self))
        for name in names or [f.name for f in fields(self)]:  # type: ignore[arg-type]
            value, kind = getattr(self, name), kinds[name]
            self.expect(_fits(value, kind), f"{name}={shown(value)} should be {getattr(kind, '__name__', kind)}")
            if kind is float:
                setattr(self, name, float(value))

    def expect_positive(self, *names: str, most: int = LARGEST_WHOLE) -> None:
        """Check that the fields called `names` are whole numbers from 1 to `most`."""
        for name in names:
            whole(name, getattr(self, name), 1, most, self.fault)


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
