"""One way to take an optimizer step, for every stage."""

import copy
import math

import torch
from torch import nn

LAST_RATE, WARM_UP = 0.05, 150
"""The learning rate at the end, as part of the highest, and the steps it takes to get there from zero."""


class Trainer:
    """AdamW with warm-up, cosine decay and gradient clipping, and a running average of the weights.

    The average (decay 0.998, over some 500 steps) is what gets evaluated and saved: it is steadier than the weights
    of any one step.
    """

    def __init__(self, model: nn.Module, rate: float, steps: int):
        self.model, self.steps, self.step = model, steps, 0
        trained = [weight for weight in model.parameters() if weight.requires_grad]
        decayed = [weight for weight in trained if weight.ndim > 1]
        others = [weight for weight in trained if weight.ndim <= 1]
        self.trained = trained
        groups = [{"params": decayed, "weight_decay": 0.02}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), fused=True)

        def factor(step: int) -> float:
            progress = min(1.0, step / steps)
            decay = LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * progress))
            return min(1.0, (step + 1) / WARM_UP) * decay

        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, factor)
        self.average = copy.deepcopy(model).eval().requires_grad_(False)

    def update(self, loss: torch.Tensor) -> float:
        """Take one step down the loss, and give its value back."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        self.schedule.step()
        self.step += 1
        decay = min(0.998, self.step / (self.step + 10))
        with torch.no_grad():
            for mean, weight in zip(self.average.parameters(), self.model.parameters(), strict=True):
                mean.lerp_(weight, 1 - decay)
        return float(loss.detach())

    def is_time_to_report(self) -> bool:
        """Say so every hundred steps, and at the end."""
        return self.step % 100 == 0 or self.step == self.steps
