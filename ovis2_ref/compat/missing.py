"""Names that transformers' classes have and ours don't: one table for each class, from what to do instead to the names."""

from collections.abc import Mapping
from typing import Any, ClassVar

from ovis2_ref.errors import MissingFeatureError

Missing = Mapping[str, str]
"""What to do instead -> the names, separated by spaces."""

TOKENIZER: Missing = {}
PROCESSOR: Missing = {}
IMAGE_PROCESSOR: Missing = {}


class Counterpart:
    """A class with a counterpart in transformers. A name that only the counterpart has is an error that says what to do."""

    counterpart: ClassVar[str]
    missing: ClassVar[Missing]

    def __getattr__(self, name: str) -> Any:
        raise MissingFeatureError(
            missing_feature(type(self).__name__, name, type(self).counterpart, type(self).missing)
        )


def missing_feature(owner: str, name: str, counterpart: str, table: Missing) -> str:
    """The message for a name that `owner` doesn't have."""
    for instead, names in table.items():
        if name in names.split():
            return f"{owner}.{name} is a feature of {counterpart} that is not here: {instead}"
    return f"{owner} has no attribute {name!r}"
