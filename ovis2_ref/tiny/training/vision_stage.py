"""Stage one: train the vision tower alone to name the shape in each cell.

A randomly initialised vision transformer gets too little signal from the language model's answers. Here its visual words
are supervised directly. Word 0 means background, and each of the next ones a coloured shape in one of the four columns of
a tile, its centre or another part of it; the loss is the cross-entropy of each merged cell's distribution over visual words.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import Ovis2ForConditionalGeneration
from transformers.models.ovis2.modeling_ovis2 import Ovis2VisionModel

from ovis2_ref.tiny.training.pictures import grid_of, pixels_of, words_of
from ovis2_ref.tiny.training.scenes import DEVELOPMENT_SEED, UNSURE, Scene, draw_scene, draw_training_scene

FIRST_SEED = 100_000_000
PICTURES, HELD_OUT_PICTURES = 48, 200
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


def tile_batch(draw: Callable[[int], Scene], first_seed: int, pictures: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw the pictures from `first_seed` on: of each the thumbnail and one more tile, with the words of their cells."""
    rng = np.random.default_rng(first_seed)
    pixels, words = [], []
    for seed in range(first_seed, first_seed + pictures):
        scene = draw(seed)
        tiles, cells = pixels_of(scene), words_of(scene, grid_of(scene)).words
        chosen = [0] if len(tiles) == 1 else [0, int(rng.integers(1, len(tiles)))]
        pixels.append(tiles[chosen])
        words.append(cells[chosen])
    return torch.from_numpy(np.concatenate(pixels)), torch.from_numpy(np.concatenate(words))


def vision_batch(number: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw the training batch of this number: pixel values and words of tiles."""
    return tile_batch(draw_training_scene, FIRST_SEED + number * PICTURES, PICTURES)


@torch.no_grad()
def start_tower(tower: Ovis2VisionModel) -> None:
    """Change transformers' initial weights where they slow learning down.

    Patches are normalised before their positions are added, so positions need to be of that size; and most of a patch is its
    mean colour, so filters need to respond to the rest.
    """
    embeddings = tower.transformer.embeddings
    tower.head_norm.weight.fill_(PEAKEDNESS)
    embeddings.position_embedding.weight.normal_(std=PLACE_SPREAD)
    filters = embeddings.patch_embedding.weight
    filters.copy_(3 * (filters - 0.9 * filters.mean(dim=(-2, -1), keepdim=True)))


class VisionStage:
    """The vision tower on fresh tiles."""

    steps = 3000
    rate, processes = 1.5e-3, 1
    draw = staticmethod(vision_batch)

    def __init__(self, model: Ovis2ForConditionalGeneration, steps: int):
        self.trained = model.model.vision_tower
        start_tower(self.trained)
        held_out = max(1, HELD_OUT_PICTURES * steps // self.steps)
        pixels, words = tile_batch(draw_scene, DEVELOPMENT_SEED, held_out)
        self.held_out = pixels.to(model.device), words.to(model.device)

    def loss(self, pixels: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """Compute the loss of the words of these tiles."""
        return word_loss(word_logits(self.trained, pixels), words)

    @torch.no_grad()
    def measure(self, tower: Ovis2VisionModel) -> dict[str, float]:
        """Measure the percentage of sure cells named right on held-out scenes: of all, and of those that show a shape."""
        pixels, words = self.held_out
        right = tower(pixels).pooler_output.argmax(-1) == words
        sure, shown = words != UNSURE, words > 0
        return {"right": 100 * float(right[sure].float().mean()), "shapes": 100 * float(right[shown].float().mean())}
