"""Stage one: train the vision tower alone to name the shape in each cell.

A randomly initialised vision transformer gets too little signal from the language model's answers. Here its visual words
are supervised directly. Word 0 means background, and each of the next ones a coloured shape in one of the four columns of
a tile, its centre or another part of it; the loss is the cross-entropy of each merged cell's distribution over visual words.
"""

from collections.abc import Callable

import numpy as np

from ovis2_ref.checkpoint.names import VISION
from ovis2_ref.config import Ovis2Config, Ovis2VisionConfig
from ovis2_ref.convention import TRANSFORMERS
from ovis2_ref.language.loss import cross_entropy
from ovis2_ref.ops import layer_norm, linear
from ovis2_ref.runtime.arrays import Array
from ovis2_ref.runtime.weights import Weights
from ovis2_ref.tiny.training.pictures import grid_of, pixels_of, words_of
from ovis2_ref.tiny.training.scenes import DEVELOPMENT_SEED, UNSURE, Scene, draw_held_out_scene, draw_training_scene
from ovis2_ref.vision.encoder import vision_transformer
from ovis2_ref.vision.visual_tokenizer import merge_patches

FIRST_SEED = 100_000_000
PICTURES, HELD_OUT_PICTURES = 48, 200
PEAKEDNESS = 2.0
"""Weight of the head's LayerNorm at the start: a softmax over hundreds of words would begin too flat with 1."""
PLACE_SPREAD = 0.5
"""Spread of the position embeddings at the start. The patches they are added to have a mean square of 1."""


def word_logits(tower: Weights, config: Ovis2VisionConfig, pixel_values: Array) -> Array:
    """Compute the logits over visual words, (tiles, 16, words), that `tower` turns into its visual tokens."""
    features = vision_transformer(pixel_values, tower / "transformer", config, TRANSFORMERS)
    merged = merge_patches(features, config.hidden_stride)
    return layer_norm(linear(merged, tower / "head_linear"), tower / "head_norm")


def word_loss(logits: Array, words: Array) -> Array:
    """Average the cross-entropy over the cells whose word is sure."""
    sure = words != UNSURE
    weights = np.full(np.count_nonzero(sure), 1 / np.count_nonzero(sure), logits.dtype)
    return cross_entropy(logits[sure], words[sure], weights)


def tile_batch(draw: Callable[[int], Scene], first_seed: int, pictures: int) -> tuple[Array, Array]:
    """Draw the pictures from `first_seed` on: of each the thumbnail and one more tile, with the words of their cells."""
    rng = np.random.default_rng(first_seed)
    pixels, words = [], []
    for seed in range(first_seed, first_seed + pictures):
        scene = draw(seed)
        tiles, cells = pixels_of(scene), words_of(scene, grid_of(scene)).words
        chosen = [0] if len(tiles) == 1 else [0, int(rng.integers(1, len(tiles)))]
        pixels.append(tiles[chosen])
        words.append(cells[chosen])
    return np.concatenate(pixels), np.concatenate(words)


def vision_batch(number: int) -> tuple[Array, Array]:
    """Draw the training batch of this number: pixel values and words of tiles."""
    return tile_batch(draw_training_scene, FIRST_SEED + number * PICTURES, PICTURES)


def start_tower(tower: Weights, rng: np.random.Generator) -> None:
    """Change the initial weights, in place, where they slow learning down.

    Patches are normalised before their positions are added, so positions need to be of that size; and most of a patch is its
    mean colour, so filters need to respond to the rest.
    """
    embeddings = tower / "transformer" / "embeddings"
    positions, filters = (embeddings / "position_embedding")["weight"], (embeddings / "patch_embedding")["weight"]
    (tower / "head_norm")["weight"][:] = PEAKEDNESS
    positions[:] = PLACE_SPREAD * rng.standard_normal(positions.shape)
    filters[:] = 3 * (filters - 0.9 * filters.mean(axis=(-2, -1), keepdims=True))


class VisionStage:
    """The vision tower on fresh tiles."""

    steps = 3600
    rate, processes = 1.5e-3, 1
    draw = staticmethod(vision_batch)

    def __init__(self, weights: dict[str, Array], config: Ovis2Config, steps: int):
        self.config = config.vision_config
        self.trained = {name: weight for name, weight in weights.items() if name.startswith(VISION)}
        start_tower(Weights(self.trained) / VISION, np.random.default_rng(1))
        held_out = max(1, HELD_OUT_PICTURES * steps // self.steps)
        self.held_out = tile_batch(draw_held_out_scene, DEVELOPMENT_SEED, held_out)

    def loss(self, w: Weights, pixels: Array, words: Array) -> Array:
        """Compute the loss of the words of these tiles."""
        return word_loss(word_logits(w / VISION, self.config, pixels), words)

    def measure(self, w: Weights) -> dict[str, float]:
        """Measure the percentage of sure cells named right on held-out scenes: of all, and of those that show a shape."""
        pixels, words = self.held_out
        right = word_logits(w / VISION, self.config, pixels).argmax(-1) == words
        return {"right": 100 * float(right[words != UNSURE].mean()), "shapes": 100 * float(right[words > 0].mean())}
