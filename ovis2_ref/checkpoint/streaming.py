"""Streamed weights stay in their file: the model reads and converts each when it needs it, and drops it after its layer."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ovis2_ref.checkpoint.loading import find_faults, not_finite, raise_faults
from ovis2_ref.checkpoint.names import EMBEDDINGS, expected_shapes
from ovis2_ref.checkpoint.safetensors_file import all_finite
from ovis2_ref.checkpoint.weight_files import open_weights
from ovis2_ref.config import Ovis2Config
from ovis2_ref.runtime.arrays import Array, as_dtype


class StreamedWeights(Mapping[str, Array]):
    """The weights in a folder, by transformers' names, equal to those that `load_weights` gives, with little in memory.

    Only the text table stays in memory, since every step of a generation reads it; other weights as long as the caller keeps
    them.
    """

    def __init__(
        self, folder: str | Path, config: Ovis2Config, dtype: str | np.dtype = "float32", device_module: ModuleType = np
    ) -> None:
        """Read only the headers. Raises `CheckpointError` as `load_weights` does; at look-up for a weight that isn't finite."""
        self._folder, self._dtype, self._xp = folder, as_dtype(dtype), device_module
        self._config, self._shapes = config, expected_shapes(config)
        self._tensors = open_weights(folder)
        raise_faults(folder, find_faults(self._tensors, self._shapes))
        self._kept: dict[str, Array] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Let copies and pickles open the folder again."""
        return _reopened, (self._folder, self._config, self._dtype.name, self._xp.__name__)

    def __getitem__(self, name: str) -> Array:
        """Return the weight called `name`, fresh from the file."""
        if name in self._kept:
            return self._kept[name]
        if name not in self._shapes:
            raise KeyError(name)
        array = self._tensors[name].read(self._dtype)
        if not all_finite(array):
            raise_faults(self._folder, {name: not_finite(array.dtype, array.shape)})
        array = self._xp.asarray(array)
        if name == EMBEDDINGS:
            self._kept[name] = array
        return array

    def __iter__(self) -> Iterator[str]:
        """Return the names, in the order in which a model uses them."""
        return iter(self._shapes)

    def __len__(self) -> int:
        """Return how many weights there are."""
        return len(self._shapes)


def _reopened(folder: str | Path, config: Ovis2Config, dtype: str, module: str) -> StreamedWeights:
    return StreamedWeights(folder, config, dtype, import_module(module))
