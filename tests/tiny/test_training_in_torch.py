"""Training steps follow torch's: the same losses and weights from the same weights and batches."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

pytest.importorskip("transformers", minversion="5.0", reason="the oracle is transformers 5's model")
import torch

from ovis2_ref.tiny.training import language_stage, pictures_stage, vision_stage
from ovis2_ref.tiny.training.configuration import model_config, start_weights
from ovis2_ref.tiny.training.optimisation import Trainer
from ovis2_ref.tiny.training.scenes import draw_training_scene
from ovis2_ref.tiny.training.stages import STAGES
from tests.oracle import lifted
from tests.tiny.in_torch import LOSSES, TorchTrainer, torch_model

FIRST = 7_000_000
SMALL_BATCHES = {
    "vision": lambda number: vision_stage.tile_batch(draw_training_scene, FIRST + 3 * number, 3),
    "language": lambda number: language_stage.made_up_batch(draw_training_scene, FIRST + 4000 * number, 3, 600, 251),
    "pictures": lambda number: pictures_stage.drawn_batch(draw_training_scene, FIRST + 4000 * number, 500),
}


def in_type(batch, dtype):
    """Return the batch with its floats in that type."""
    return [part.astype(dtype) if getattr(part, "dtype", None) == np.float32 else part for part in batch]


def both(name, dtype, steps, draw=None):
    """Train a stage by both programs, and return our losses and weights, and torch's."""
    torch.set_num_threads(1)
    config = model_config()
    weights = {key: w.astype(dtype) for key, w in start_weights(config, np.random.default_rng(0)).items()}
    stage = STAGES[name](weights, config, max(1, STAGES[name].steps // 100))
    weights |= stage.trained
    ours = Trainer(stage.trained, stage.rate, 100, 110)
    theirs = TorchTrainer(torch_model(weights), name, stage.rate, 110)
    losses = []
    with threadpool_limits(1):
        for number in range(steps):
            batch = in_type((draw or stage.draw)(number), dtype)
            mine = ours.update(lambda w, batch=batch: stage.loss(w, *batch))
            losses.append((mine, theirs.update(LOSSES[name](theirs.model, *batch))))
    return losses, ours.weights, {key: w.detach().numpy() for key, w in theirs.trained.items()}


@pytest.mark.parametrize("name", list(STAGES))
def test_steps_in_float64_are_torchs(name):
    """Where rounding plays no part, four steps of AdamW end at the same weights: to 1e-9, a millionth of the rate.

    A step is about as large as the rate, whatever the gradient's size: an error of 1e-15 may reach it undivided.
    """
    with lifted():
        losses, ours, theirs = both(name, "float64", 4, SMALL_BATCHES[name])
    for mine, expected in losses:
        assert mine == pytest.approx(expected, rel=1e-9)
    for key, weight in theirs.items():
        np.testing.assert_allclose(ours[key], weight, rtol=0, atol=1e-9, err_msg=key)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(STAGES))
def test_a_hundred_steps_follow_torchs(name):
    """In float32: losses to 1e-4, weights to a tenth of the rate."""
    losses, ours, theirs = both(name, "float32", 100)
    for mine, expected in losses:
        assert mine == pytest.approx(expected, rel=1e-4)
    for key, weight in theirs.items():
        np.testing.assert_allclose(ours[key], weight, rtol=0, atol=0.1 * STAGES[name].rate, err_msg=key)
