"""Random weights: a model of any shape without files, for tests and measurements."""

from collections.abc import Iterator, Mapping

import numpy as np
from jaxtyping import Float

from ovis2_ref.checkpoint.names import expected_shapes
from ovis2_ref.checkpoint.safetensors_file import BLOCK
from ovis2_ref.config import Ovis2Config
from ovis2_ref.runtime.arrays import Array, as_dtype


class DrawnWeights(Mapping[str, Array]):
    """Weights that are drawn at every look-up, the same each time; only what the caller keeps is in memory."""

    def __init__(self, config: Ovis2Config, seed: int, dtype: str | np.dtype = "float32") -> None:
        """Draw weights of a model of `config`. A `seed` gives the same numbers for every dtype, rounded to it."""
        self._shapes, self._seed, self._dtype = expected_shapes(config), seed, as_dtype(dtype)
        self._places = {name: place for place, name in enumerate(self._shapes)}

    def __getitem__(self, name: str) -> Array:
        """Return the weight called `name`."""
        return draw_weight(name, self._shapes[name], [self._seed, self._places[name]], self._dtype)

    def __iter__(self) -> Iterator[str]:
        """Return the names, in the order in which a model uses them."""
        return iter(self._shapes)

    def __len__(self) -> int:
        """Return how many weights there are."""
        return len(self._shapes)


def random_weights(config: Ovis2Config, seed: int, dtype: str | np.dtype = "float32") -> dict[str, Array]:
    """Return all weights of a model of `config`, drawn so that no part of it is idle: see `draw_weight`."""
    return dict(DrawnWeights(config, seed, dtype))


def draw_weight(name: str, shape: tuple[int, ...], seed: list[int], dtype: np.dtype) -> Float[Array, "..."]:
    """Draw normal numbers: a matrix with variance 1 / inputs, a table with variance 1, weights of norms near 1, biases near 0."""
    drawn = np.empty(shape, dtype)
    flat = drawn.reshape(-1)
    generator = np.random.default_rng(seed)
    is_table = "embed" in name and "patch" not in name
    inputs = 1 if is_table or len(shape) == 1 else flat.size // shape[0]
    for start in range(0, flat.size, BLOCK):
        block = generator.standard_normal(min(BLOCK, flat.size - start), np.float32)
        if len(shape) == 1:
            block = block * np.float32(0.1) + np.float32(0 if name.endswith("bias") else 1)
        flat[start : start + BLOCK] = block / np.float32(inputs**0.5)
    return drawn
