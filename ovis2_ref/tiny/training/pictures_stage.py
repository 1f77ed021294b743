"""Stage three: the language model alone again, on drawn pictures as the trained vision tower sees them.

The tower stays as the vision stage left it. A step has some fifteen pictures here, where the vision stage's has 48: trained
on, the tower gets worse (README). Two processes share each step's batch.
"""

from collections.abc import Callable

import numpy as np

from ovis2_ref.checkpoint.names import VISION
from ovis2_ref.config import Ovis2Config
from ovis2_ref.ops import softmax
from ovis2_ref.runtime.arrays import Array
from ovis2_ref.runtime.weights import Weights
from ovis2_ref.tiny.training.language_stage import (
    HELD_OUT_BATCHES,
    SEEDS_OF_A_BATCH,
    answer_logits,
    answer_loss,
    answers_right,
    scenes_of_a_batch,
)
from ovis2_ref.tiny.training.pictures import MAX_TILES, pixels_of
from ovis2_ref.tiny.training.scenes import DEVELOPMENT_SEED, Scene, draw_held_out_scene, draw_language_scene
from ovis2_ref.tiny.training.sequences import Batch, batch_of, greeting, sequence_about
from ovis2_ref.tiny.training.vision_stage import word_logits

FIRST_SEED = 300_000_000
TOKENS_IN_BATCH = 2600
POWER_OF_LENGTH = 0.5
"""Of the answers' lengths in the loss (`answer_loss`): what is still wrong now is one token of a long description."""


def drawn_batch(draw: Callable[[int], Scene], first_seed: int, tokens: int) -> tuple[Batch, Array]:
    """Draw pictures and ask about them: requests, pixel values of all tiles."""
    rng = np.random.default_rng([first_seed, 1])
    scenes = scenes_of_a_batch(draw, first_seed, MAX_TILES + 1, tokens)
    batch = batch_of([*(sequence_about(scene, grid, rng) for scene, grid in scenes), greeting()])
    pixels = np.concatenate([pixels_of(scene) for scene, _ in scenes])
    return batch, pixels


def pictures_batch(number: int) -> tuple[Batch, Array]:
    """Draw the training batch of this number."""
    return drawn_batch(draw_language_scene, FIRST_SEED + number * SEEDS_OF_A_BATCH, TOKENS_IN_BATCH)


class PicturesStage:
    """The language model and the visual embedding table on what the trained vision tower sees."""

    steps = 3600
    rate, processes = 1e-3, 2
    draw = staticmethod(pictures_batch)

    def __init__(self, weights: dict[str, Array], config: Ovis2Config, steps: int):
        self.config, self.tower = config, Weights(weights) / VISION
        self.trained = {name: weight for name, weight in weights.items() if not name.startswith(VISION)}
        self.held_out = []
        for k in range(max(1, HELD_OUT_BATCHES * steps // self.steps)):
            seed = DEVELOPMENT_SEED + k * SEEDS_OF_A_BATCH
            batch, pixels = drawn_batch(draw_held_out_scene, seed, 2 * TOKENS_IN_BATCH)
            self.held_out.append((batch, self.seen(pixels)))

    def seen(self, pixels: Array) -> Array:
        """Return the visual tokens that the trained tower makes of tiles."""
        return softmax(word_logits(self.tower, self.config.vision_config, pixels))

    def loss(self, w: Weights, batch: Batch, pixels: Array) -> Array:
        """Compute the loss of the answers."""
        return answer_loss(answer_logits(w, self.config, batch, self.seen(pixels)), batch, POWER_OF_LENGTH)

    def measure(self, w: Weights) -> dict[str, float]:
        """Measure the percentage of right answers about pictures of held-out scenes."""
        return answers_right(w, self.config, self.held_out)
