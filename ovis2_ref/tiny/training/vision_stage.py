"""Stage one: the vision tower alone learns to name what is in each cell.

A vision transformer that starts from nothing sees too little signal through the language model's answers. Here its
visual words are supervised directly. Word 0 stands for empty ground, and each of the next ones for a coloured shape in
one of the four columns of a tile; the loss is the cross-entropy of each merged cell's distribution over visual words.
"""

from collections.abc import Iterator
from itertools import count

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers.models.ovis2.modeling_ovis2 import Ovis2VisionModel

from ovis2_ref.tiny.training.optimisation import Trainer
from ovis2_ref.tiny.training.pictures import grid_of, pixels_of, words_of
from ovis2_ref.tiny.training.scenes import DEVELOPMENT_SEED, UNSURE, draw_scene

PICTURES = 48
PEAKEDNESS = 2.0
"""Weight of the head's LayerNorm at the start: a softmax over hundreds of words would begin too flat with 1."""
PLACE_SPREAD = 0.5
"""Spread of the position embeddings at the start. The patches they are added to have a mean square of 1."""


def word_logits(tower: Ovis2VisionModel, pixel_values: torch.Tensor) -> torch.Tensor:
    """Compute the logits over visual words, (tiles, 16, words), that `tower` turns into its visual tokens."""
    return tower.head_norm(tower.head_linear(tower(pixel_values).last_hidden_state))


def word_loss(logits: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
    """Average the cross-entropy over the cells whose word is sure."""
    return cross_entropy(logits.flatten(0, -2), words.flatten(), ignore_index=UNSURE)


def tile_batches(first_seed: int, pictures: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Draw fresh pictures for ever: of each the thumbnail and one more tile, with the words of their cells."""
    rng = np.random.default_rng(first_seed)
    for start in count(first_seed, pictures):
        pixels, words = [], []
        for seed in range(start, start + pictures):
            scene = draw_scene(seed)
            tiles, cells = pixels_of(scene), words_of(scene, grid_of(scene)).words
            chosen = [0] if len(tiles) == 1 else [0, int(rng.integers(1, len(tiles)))]
            pixels.append(tiles[chosen])
            words.append(cells[chosen])
        yield torch.from_numpy(np.concatenate(pixels)), torch.from_numpy(np.concatenate(words))


@torch.no_grad()
def cells_right(tower: Ovis2VisionModel, pixel_values: torch.Tensor, words: torch.Tensor) -> tuple[float, float]:
    """Measure the fraction of sure cells named right: of all, and of those that are not background."""
    right = tower(pixel_values).pooler_output.argmax(-1) == words
    sure, shown = words != UNSURE, words > 0
    return float(right[sure].float().mean()), float(right[shown].float().mean())


@torch.no_grad()
def start_tower(tower: Ovis2VisionModel) -> None:
    """Change the start where transformers' makes learning to see slow.

    Patches are normed before their positions are added, so that positions need to be of that size; and most of a
    patch is its mean colour, so that filters need to look at what is left without it.
    """
    embeddings = tower.transformer.embeddings
    tower.head_norm.weight.fill_(PEAKEDNESS)
    embeddings.position_embedding.weight.normal_(std=PLACE_SPREAD)
    filters = embeddings.patch_embedding.weight
    filters.copy_(3 * (filters - 0.9 * filters.mean(dim=(-2, -1), keepdim=True)))


def train_vision(tower: Ovis2VisionModel, trainer: Trainer, first_seed: int, report) -> None:
    """Train the vision tower on fresh tiles for as many steps as the trainer is set to; `report` is told how it goes."""
    start_tower(tower)
    test_pixels, test_words = next(tile_batches(DEVELOPMENT_SEED, 200))
    for pixels, words in tile_batches(first_seed, PICTURES):
        loss = trainer.update(word_loss(word_logits(tower, pixels), words))
        if trainer.is_time_to_report():
            every, shown = cells_right(trainer.average, test_pixels, test_words)
            report(trainer, loss, f"cells right {every:.4f}, of shapes {shown:.4f}")
        if trainer.step == trainer.steps:
            return
