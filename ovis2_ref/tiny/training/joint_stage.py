"""Stage three: vision tower and language model together, on drawn pictures.

The loss is that of the answers, whose gradient now reaches the vision tower through the visual tokens, plus the
visual words' at a low weight, which keeps their meaning.
"""

from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch
from transformers import Ovis2ForConditionalGeneration

from ovis2_ref.tiny.training.language_stage import answer_logits, answer_loss, answers_right, scene_batches
from ovis2_ref.tiny.training.optimisation import Trainer
from ovis2_ref.tiny.training.pictures import MAX_TILES, pixels_of, words_of
from ovis2_ref.tiny.training.scenes import DEVELOPMENT_SEED
from ovis2_ref.tiny.training.sequences import Batch, batch_of, greeting, sequence_about
from ovis2_ref.tiny.training.vision_stage import word_logits, word_loss

TOKENS_IN_BATCH = 5000
WORDS_WEIGHT = 0.3


def drawn_batches(first_seed: int, tokens: int) -> Iterator[tuple[Batch, torch.Tensor, torch.Tensor]]:
    """Draw pictures and ask about them, for ever: requests, pixel values of all tiles, words of their cells."""
    rng = np.random.default_rng(first_seed)
    for scenes in scene_batches(first_seed, MAX_TILES + 1, tokens):
        batch = batch_of([*(sequence_about(scene, grid, rng) for scene, grid in scenes), greeting()])
        pixels = np.concatenate([pixels_of(scene) for scene, _ in scenes])
        words = np.concatenate([words_of(scene, grid).words for scene, grid in scenes])
        yield batch, torch.from_numpy(pixels), torch.from_numpy(words)


def train_jointly(model: Ovis2ForConditionalGeneration, trainer: Trainer, first_seed: int, report) -> None:
    """Train the whole model end to end."""
    test = list(islice(drawn_batches(DEVELOPMENT_SEED, TOKENS_IN_BATCH), 8))
    for batch, pixels, words in drawn_batches(first_seed, TOKENS_IN_BATCH):
        named = word_logits(model.model.vision_tower, pixels)
        loss = answer_loss(answer_logits(model, batch, named.softmax(-1)), batch)
        value = trainer.update(loss + WORDS_WEIGHT * word_loss(named, words))
        if trainer.is_time_to_report():
            report(trainer, value, joint_answers_right(trainer.average, test))
        if trainer.step == trainer.steps:
            return


@torch.no_grad()
def joint_answers_right(
    model: Ovis2ForConditionalGeneration, test: list[tuple[Batch, torch.Tensor, torch.Tensor]]
) -> str:
    """Tell the percentage of right answers by kind of request, on pictures."""
    return answers_right(model, [(batch, model.model.vision_tower(pixels).pooler_output) for batch, pixels, _ in test])
