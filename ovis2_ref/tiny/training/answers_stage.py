"""Stage four: the language model alone again, on what the trained vision tower sees.

By now the tower names nearly every cell right, and what is still wrong are lists of three shapes and what is beside
what. So the tower is left as it is, and most scenes hold three shapes.
"""

import torch
from transformers import Ovis2ForConditionalGeneration

from ovis2_ref.tiny.training.joint_stage import TOKENS_IN_BATCH, JointStage
from ovis2_ref.tiny.training.language_stage import SEEDS_OF_A_BATCH, answer_logits, answer_loss
from ovis2_ref.tiny.training.scenes import draw_crowded_scene

KINDS_ASKED = {
    "describe": 3, "count": 1, "colour": 2, "shape": 1, "there": 1, "beside": 4, "order": 1, "end": 2
}  # fmt: skip


class AnswersStage(JointStage):
    """The language model and the visual embedding table, on pictures."""

    steps = decay_steps = 750
    rate, first_seed, processes = 6e-4, 400_000_000, 2

    def __init__(self, model: Ovis2ForConditionalGeneration, steps: int):
        super().__init__(model, steps)
        model.model.vision_tower.requires_grad_(False)

    def loss(self, number: int) -> torch.Tensor:
        """Compute the loss of the answers of the batch of this number."""
        seed = self.first_seed + number * SEEDS_OF_A_BATCH
        batch, pixels, _ = self.batch(draw_crowded_scene, seed, TOKENS_IN_BATCH, KINDS_ASKED)
        tokens = self.trained.model.vision_tower(pixels).pooler_output
        return answer_loss(answer_logits(self.trained, batch, tokens), batch)
