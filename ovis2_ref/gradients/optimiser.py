"""What a training step does with the gradients: clip them, set the rate, move the weights."""

from collections.abc import Mapping
from math import cos, pi, sqrt

import numpy as np

from ovis2_ref.runtime.arrays import Array

Moments = tuple[Array, Array]


def clipped(gradients: Mapping[str, Array], largest: float) -> dict[str, Array]:
    """g min(1, largest / (|g| + 1e-6)), |g| the norm over all numbers of all gradients (torch 2.13's `clip_grad_norm_`)."""
    norm = sqrt(sum(float((gradient * gradient).sum()) for gradient in gradients.values()))
    factor = min(1.0, largest / (norm + 1e-6))
    return {name: gradient * gradient.dtype.type(factor) for name, gradient in gradients.items()}


def cosine_rate(step: int, steps: int, highest: float, warm_up: float = 0.0, last: float = 0.0) -> float:
    """Return the rate of `step`, from 0: half a cosine from `highest` to `last` of it (Loshchilov and Hutter, 2017, eq. 5).

    The part `warm_up` of the steps rises to it from zero, in a straight line.
    """
    fall = last + (1 - last) * (1 + cos(pi * step / steps)) / 2
    return highest * fall * (min(1.0, (step + 1) / (warm_up * steps)) if warm_up else 1.0)


class AdamW:
    """Adam with weight decay apart from the gradient (Loshchilov and Hutter, 2019, algorithm 2), as torch 2.13 computes it.

    `moments` holds the running means of each gradient and of its square, zeros at the start; `steps` counts the steps taken.
    """

    def __init__(self, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> None:
        """Take the two means' decay, and what is added to the root."""
        self.betas, self.eps, self.steps = betas, eps, 0
        self.moments: dict[str, Moments] = {}

    def step(
        self, weights: Mapping[str, Array], gradients: Mapping[str, Array], rate: float, decay: Mapping[str, float]
    ) -> dict[str, Array]:
        """Return the weights after a step: w (1 - rate decay) - rate m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps).

        m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2. `decay` is the weight decay of each weight by name.
        """
        self.steps += 1
        return {name: self._moved(name, weights[name], g, rate, decay[name]) for name, g in gradients.items()}

    def _moved(self, name: str, w: Array, g: Array, rate: float, decay: float) -> Array:
        first, second = self.betas
        m, v = self.moments.get(name) or (np.zeros_like(g), np.zeros_like(g))
        m = m + (1 - first) * (g - m)
        v = second * v + (1 - second) * (g * g)
        self.moments[name] = m, v
        root = np.sqrt(v) / sqrt(1 - second**self.steps) + self.eps
        return w * (1 - rate * decay) - (rate / (1 - first**self.steps)) * (m / root)
