"""Scoped weights: a part of the model is a mapping of weights with a name.

w = Weights(arrays)                   # the whole model: arrays by checkpoint name
block = w / "model" / "layers" / 3    # a part inside it
block["weight"]                       # arrays["model.layers.3.weight"]
block.tap("output", y)                # show y as "model.layers.3.output", and return it
"""

from collections.abc import Mapping

from ovis2_ref.runtime.arrays import Array
from ovis2_ref.runtime.taps import anybody_listens, tap


class Weights:
    """The weights of one part of the model, and the name that its values are tapped under."""

    __slots__ = ("_parts", "arrays", "name")

    def __init__(self, arrays: Mapping[str, Array], name: str = "") -> None:
        """Take the weights in `arrays` whose names begin with `name`. The mapping may read them on demand."""
        self.arrays, self.name = arrays, name
        self._parts: dict[str | int, Weights] = {}

    def __truediv__(self, part: str | int) -> "Weights":
        """Return the part called `part` inside this one."""
        if part not in self._parts:
            self._parts[part] = Weights(self.arrays, self._full(part))
        return self._parts[part]

    def __getitem__(self, word: str) -> Array:
        """Return the weight called `word`. Raises `KeyError` with its full name if there is none."""
        return self.arrays[self._full(word)]

    def __contains__(self, word: str) -> bool:
        return self._full(word) in self.arrays

    def tap(self, word: str, value: Array) -> Array:
        """Show `value` to the open listeners as `word` of this part, and return it."""
        if anybody_listens():
            tap(self._full(word), value)
        return value

    def held(self) -> "Weights":
        """Return the same part; a weight that is read on demand is read once and kept as long as the result lives."""
        return self if isinstance(self.arrays, dict) else Weights(_Held(self.arrays), self.name)

    def _full(self, word: str | int) -> str:
        return f"{self.name}.{word}" if self.name else str(word)


class _Held(dict[str, Array]):
    """A cache in front of a mapping that reads its arrays on demand."""

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        super().__init__()
        self._source = arrays

    def __missing__(self, name: str) -> Array:
        return self.setdefault(name, self._source[name])

    def __contains__(self, name: object) -> bool:
        return name in self._source
