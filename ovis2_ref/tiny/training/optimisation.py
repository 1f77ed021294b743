"""One way to take an optimizer step, for every stage."""

import copy
import math

import torch
from torch import distributed, nn

LAST_RATE, WARM_UP = 0.02, 0.05
"""The learning rate at the end of its decay, as part of the highest, and the part of it that it takes to rise from zero."""
AVERAGE_DECAY = 0.998


class Trainer:
    """AdamW with warm-up, cosine decay and gradient clipping, and a running average of the weights.

    The average (decay 0.998, over some 500 steps) is evaluated and saved: it is steadier than the weights of any single
    step. Where several processes train together, each gives the loss of its own part of the batch.
    """

    def __init__(self, model: nn.Module, rate: float, steps: int, decay_steps: int):
        self.model, self.rate, self.steps, self.decay_steps, self.step = model, rate, steps, decay_steps, 0
        self.trained = [weight for weight in model.parameters() if weight.requires_grad]
        decayed = [weight for weight in self.trained if weight.ndim > 1]
        others = [weight for weight in self.trained if weight.ndim <= 1]
        groups = [{"params": decayed, "weight_decay": 0.02}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=True)
        self.average = copy.deepcopy(model).eval().requires_grad_(False)

    def learning_rate(self) -> float:
        """Compute the learning rate of the next step: it follows from the number of steps taken."""
        decay = LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * self.step / self.decay_steps))
        return self.rate * min(1.0, (self.step + 1) / (WARM_UP * self.decay_steps)) * decay

    def update(self, loss: torch.Tensor) -> float:
        """Take one step down the loss, and return the loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if distributed.is_initialized():
            self._average_gradients()
        nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        self.step += 1
        decay = min(AVERAGE_DECAY, self.step / (self.step + 10))
        with torch.no_grad():
            for mean, weight in zip(self.average.parameters(), self.model.parameters(), strict=True):
                mean.lerp_(weight, 1 - decay)
        return float(loss.detach())

    def _average_gradients(self) -> None:
        """Replace each gradient by its mean over all processes."""
        gradients = [weight.grad for weight in self.trained]
        flat = torch.cat([gradient.flatten() for gradient in gradients]).cpu()
        distributed.all_reduce(flat)
        flat /= distributed.get_world_size()
        for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def state(self) -> dict:
        """Collect everything that the next step depends on: weights, their average, the optimizer's moments, the step."""
        return {
            "step": self.step,
            "steps": self.steps,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state(self, state: dict) -> None:
        """Continue from a state that `state` collected."""
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
