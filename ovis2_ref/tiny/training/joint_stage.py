"""Stage three: vision tower and language model together, on drawn pictures.

The loss is that of the answers, whose gradient now reaches the vision tower through the visual tokens, plus the
visual words' at a low weight, which keeps their meaning. Two processes share each step's batch.
"""

from collections.abc import Callable

import numpy as np
import torch
from transformers import Ovis2ForConditionalGeneration

from ovis2_ref.tiny.training.language_stage import (
    HELD_OUT_BATCHES,
    SEEDS_OF_A_BATCH,
    answer_logits,
    answer_loss,
    answers_right,
    scenes_of_a_batch,
)
from ovis2_ref.tiny.training.pictures import MAX_TILES, pixels_of, words_of
from ovis2_ref.tiny.training.scenes import DEVELOPMENT_SEED, Scene, draw_joint_scene, draw_scene
from ovis2_ref.tiny.training.sequences import KINDS_ASKED, Batch, batch_of, greeting, sequence_about
from ovis2_ref.tiny.training.vision_stage import word_logits, word_loss

FIRST_SEED = 300_000_000
TOKENS_IN_BATCH = 2600
WORDS_WEIGHT = 0.3
POWER_OF_LENGTH = 0.5
"""Of the answers' lengths in the loss (`answer_loss`): what is still wrong now is one token of a long description."""


def drawn_batch(
    draw: Callable[[int], Scene], first_seed: int, tokens: int, kinds: dict[str, int]
) -> tuple[Batch, torch.Tensor, torch.Tensor]:
    """Draw pictures and ask about them: requests, pixel values of all tiles, words of their cells."""
    rng = np.random.default_rng([first_seed, 1])
    scenes = scenes_of_a_batch(draw, first_seed, MAX_TILES + 1, tokens)
    batch = batch_of([*(sequence_about(scene, grid, rng, kinds) for scene, grid in scenes), greeting()])
    pixels = np.concatenate([pixels_of(scene) for scene, _ in scenes])
    words = np.concatenate([words_of(scene, grid).words for scene, grid in scenes])
    return batch, torch.from_numpy(pixels), torch.from_numpy(words)


def joint_batch(number: int) -> tuple[Batch, torch.Tensor, torch.Tensor]:
    """Draw the training batch of this number."""
    return drawn_batch(draw_joint_scene, FIRST_SEED + number * SEEDS_OF_A_BATCH, TOKENS_IN_BATCH, KINDS_ASKED)


class JointStage:
    """The whole model, end to end."""

    steps, decay_steps = 2600, 2900
    rate, processes = 1e-3, 2
    draw = staticmethod(joint_batch)

    def __init__(self, model: Ovis2ForConditionalGeneration, steps: int):
        self.trained = model
        self.held_out = []
        for k in range(max(1, HELD_OUT_BATCHES * steps // self.steps)):
            seed = DEVELOPMENT_SEED + k * SEEDS_OF_A_BATCH
            batch, pixels, _ = drawn_batch(draw_scene, seed, 2 * TOKENS_IN_BATCH, KINDS_ASKED)
            self.held_out.append((batch.to(model.device), pixels.to(model.device)))

    def loss(self, batch: Batch, pixels: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """Compute the loss of the answers and of the words."""
        logits = word_logits(self.trained.model.vision_tower, pixels)
        answers = answer_loss(answer_logits(self.trained, batch, logits.softmax(-1)), batch, POWER_OF_LENGTH)
        return answers + WORDS_WEIGHT * word_loss(logits, words)

    @torch.no_grad()
    def measure(self, model: Ovis2ForConditionalGeneration) -> dict[str, float]:
        """Measure the percentage of right answers about pictures of held-out scenes."""
        tower = model.model.vision_tower
        return answers_right(model, ((batch, tower(pixels).pooler_output) for batch, pixels in self.held_out))
