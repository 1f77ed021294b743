"""One way to take an optimizer step, for every stage."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ovis2_ref.gradients import AdamW, clipped, cosine_rate, value_and_gradient
from ovis2_ref.runtime.arrays import Array
from ovis2_ref.runtime.weights import Weights

LAST_RATE, WARM_UP = 0.02, 0.05
"""The learning rate at the end of its decay, as part of the highest, and the part of it that it takes to rise from zero."""
AVERAGE_DECAY = 0.998
DECAY = 0.02
"""AdamW's weight decay, of matrices alone."""

Gradients = dict[str, Array]


class Trainer:
    """AdamW with warm-up, cosine decay and gradient clipping, and a running average of the weights.

    The average (decay 0.998, over some 500 steps) is evaluated and saved: it is steadier than the weights of any single
    step. Where several processes train together, each gives the loss of its own part of the batch, and `mean` takes the
    mean of their gradients.
    """

    def __init__(
        self,
        weights: Mapping[str, Array],
        rate: float,
        steps: int,
        decay_steps: int,
        mean: Callable[[Gradients], Gradients] = lambda gradients: gradients,
    ):
        self.weights, self.average = dict(weights), {name: weight.copy() for name, weight in weights.items()}
        self.rate, self.steps, self.decay_steps, self.step, self.mean = rate, steps, decay_steps, 0, mean
        self.optimiser = AdamW(betas=(0.9, 0.98))
        self.decay = {name: DECAY if weight.ndim > 1 else 0.0 for name, weight in weights.items()}

    def learning_rate(self) -> float:
        """Compute the learning rate of the next step: it follows from the number of steps taken."""
        return cosine_rate(self.step, self.decay_steps, self.rate, WARM_UP, LAST_RATE)

    def update(self, loss: Callable[[Weights], Array]) -> float:
        """Take one step down the loss, and return the loss."""
        value, gradients = value_and_gradient(loss, self.weights)
        gradients = clipped(self.mean(gradients), 1.0)
        self.weights = self.optimiser.step(self.weights, gradients, self.learning_rate(), self.decay)
        self.step += 1
        decay = min(AVERAGE_DECAY, self.step / (self.step + 10))
        for name, mean in self.average.items():
            mean += (1 - decay) * (self.weights[name] - mean)
        return float(value)

    def state(self) -> tuple[dict[str, Array], dict[str, int]]:
        """Collect everything that the next step depends on: weights, their average, the optimizer's moments; and the steps."""
        moments = self.optimiser.moments
        arrays = {
            f"{part}/{name}": array
            for name in self.weights
            for part, array in zip(
                ("weights", "average", "first", "second"),
                (self.weights[name], self.average[name], *moments[name]),
                strict=True,
            )
        }
        return arrays, {"step": self.step, "steps": self.steps}

    def load_state(self, arrays: Mapping[str, Array], counts: Mapping[str, Any]) -> None:
        """Continue from a state that `state` collected."""
        self.step = self.optimiser.steps = counts["step"]
        names = list(self.weights)
        self.weights = {name: arrays[f"weights/{name}"] for name in names}
        self.average = {name: arrays[f"average/{name}"] for name in names}
        self.optimiser.moments = {name: (arrays[f"first/{name}"], arrays[f"second/{name}"]) for name in names}


def flat(gradients: Gradients) -> np.ndarray:
    """Lay all gradients side by side."""
    return np.concatenate([gradient.reshape(-1) for gradient in gradients.values()])


def cut(numbers: np.ndarray, gradients: Gradients) -> Gradients:
    """Cut what `flat` laid side by side into gradients again."""
    ends = np.cumsum([gradient.size for gradient in gradients.values()])[:-1]
    parts = np.split(numbers, ends)
    return {name: part.reshape(g.shape) for (name, g), part in zip(gradients.items(), parts, strict=True)}
