"""Scoped weights, and the operations on them, until `runtime/weights.py` and `ops.py` bring them."""

from collections.abc import Mapping

from ovis2_ref import ops
from ovis2_ref.runtime.arrays import Array


class Weights:
    """A part of the model: `w / "attention"` is the part inside it, `w["weight"]` a weight."""

    def __init__(self, arrays: Mapping[str, Array], name: str = "") -> None:
        """Take the weights in `arrays` whose names begin with `name`."""
        self.arrays, self.name = arrays, name

    def __truediv__(self, part: str | int) -> "Weights":
        return Weights(self.arrays, self._full(part))

    def __getitem__(self, word: str) -> Array:
        return self.arrays[self._full(word)]

    def __contains__(self, word: str) -> bool:
        return self._full(word) in self.arrays

    def _full(self, word: str | int) -> str:
        return f"{self.name}.{word}" if self.name else str(word)


def rms_norm(x: Array, w: Weights, eps: float) -> Array:
    """The RMSNorm of `ops`."""
    return ops.rms_norm(x, w["weight"], eps)


def layer_norm(x: Array, w: Weights) -> Array:
    """The LayerNorm of `ops`."""
    return ops.layer_norm(x, w["weight"], w["bias"])
