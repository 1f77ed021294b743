"""The way back: a backward formula for every operation, and what a training step takes beside them.

`dy` is always the gradient of the loss by the formula's result, `dx` that by its argument x. `runtime/tape.py` plays the formulas
back in the reverse order of their use.
"""

from ovis2_ref.gradients import attention, language, ops, vision
from ovis2_ref.gradients.optimiser import AdamW, clipped, cosine_rate
from ovis2_ref.runtime.tape import value_and_gradient

__all__ = ["AdamW", "attention", "clipped", "cosine_rate", "language", "ops", "value_and_gradient", "vision"]
