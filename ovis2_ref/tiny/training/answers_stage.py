"""Stage four: the whole model again, on scenes as they are where it is judged.

By now nearly every cell is named right, and what is still wrong are lists and counts of shapes, mostly where two shapes are
alike. So one, two and three shapes are equally frequent, alike ones more than by chance, and lists are asked for more often.
"""

import torch

from ovis2_ref.tiny.training.joint_stage import TOKENS_IN_BATCH, JointStage, drawn_batch
from ovis2_ref.tiny.training.language_stage import SEEDS_OF_A_BATCH
from ovis2_ref.tiny.training.scenes import draw_last_scene
from ovis2_ref.tiny.training.sequences import Batch

FIRST_SEED = 400_000_000
KINDS_ASKED = {
    "describe": 6, "count": 2, "colour": 1, "shape": 1, "there": 1, "beside": 3, "order": 2, "end": 2
}  # fmt: skip


def answers_batch(number: int) -> tuple[Batch, torch.Tensor, torch.Tensor]:
    """Draw the training batch of this number."""
    return drawn_batch(draw_last_scene, FIRST_SEED + number * SEEDS_OF_A_BATCH, TOKENS_IN_BATCH, KINDS_ASKED)


class AnswersStage(JointStage):
    """The whole model, on other scenes and questions than the joint stage."""

    steps = decay_steps = 1200
    rate = 6e-4
    draw = staticmethod(answers_batch)
