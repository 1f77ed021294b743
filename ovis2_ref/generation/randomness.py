"""Draw tokens: the inverse of the distribution function, and the sources of random numbers."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from ovis2_ref.errors import InputError
from ovis2_ref.files.checks import shown
from ovis2_ref.ops import softmax
from ovis2_ref.runtime.arrays import Array, array_module, to_device


@runtime_checkable
class Generator(Protocol):
    """A source of random choices."""

    def choose(self, scores: Float[Array, "rows vocabulary"]) -> Int[Array, " rows"]:
        """Return one token of each row, drawn from softmax(scores); -1 where softmax gives no distribution."""

    def choose_several(self, scores: Float[Array, "rows choices"], k: int) -> Int[Array, "rows k"]:
        """Return k different choices of each row, each drawn from softmax(scores) of those left."""


class NumPyGenerator:
    """Choices with NumPy's random numbers."""

    def __init__(self, generator: np.random.Generator | int | None = None) -> None:
        """Take a generator, a seed, or None for a seed from NumPy's global state, which `set_seed` sets."""
        seed = np.random.randint(2**31) if generator is None else generator
        try:
            self._generator = np.random.default_rng(seed)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"generator={shown(generator)} should be a NumPy generator or a whole number from 0"
            ) from error

    def choose(self, scores: Float[Array, "rows vocabulary"]) -> Int[Array, " rows"]:
        """See `draw`."""
        return draw(softmax(scores), to_device(self._generator.random(len(scores)), array_module(scores)))

    def choose_several(self, scores: Float[Array, "rows choices"], k: int) -> Int[Array, "rows k"]:
        """See `draw_several`."""
        return draw_several(scores, k, self._generator)


def draw(probabilities: Float[Array, "rows vocabulary"], uniform: Float[Array, " rows"]) -> Int[Array, " rows"]:
    """Return token i where uniform * total falls into [c_(i-1), c_i), c the cumulated probabilities; -1 for NaN or all 0.

    The inverse of the distribution function: `uniform` from [0, 1) makes token i with probability p_i / total.

    >>> draw(np.array([[0.2, 0.5, 0.3]] * 3), np.array([0.1, 0.6, 0.7])).tolist()
    [0, 1, 2]
    """
    xp = array_module(probabilities)
    cumulated = xp.cumsum(probabilities, axis=-1, dtype=np.float64)
    total = cumulated[:, -1:]
    tokens = (cumulated <= uniform[:, None] * total).sum(axis=-1)
    return xp.where((total[:, 0] > 0) & xp.isfinite(total[:, 0]), tokens, -1)


def draw_several(
    scores: Float[Array, "prompts choices"], k: int, generator: np.random.Generator
) -> Int[Array, "prompts k"]:
    """Return k different choices, one after the other, each drawn by softmax(score) from those left.

    Where fewer than k have any probability, the rest are the best of the others.
    """
    xp = array_module(scores)
    rows = xp.arange(len(scores))
    probabilities = softmax(scores)
    left = xp.maximum(scores, np.finfo(scores.dtype).min)  # tokens that are ruled out come before tokens that are taken
    chosen = []
    for _ in range(k):
        drawn = draw(probabilities, to_device(generator.random(len(scores)), xp))
        drawn = xp.where(drawn < 0, left.argmax(axis=1), drawn)
        probabilities[rows, drawn] = 0
        left[rows, drawn] = -np.inf
        chosen.append(drawn)
    return xp.stack(chosen, axis=1)
