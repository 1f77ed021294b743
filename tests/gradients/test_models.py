"""Gradients of whole models of drawn configurations, against torch's autograd through transformers."""

import numpy as np
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from ovis2_ref import Ovis2ForConditionalGeneration
from ovis2_ref.gradients import value_and_gradient
from tests.language.drawn import masks
from tests.oracle import lifted, reference_model, weights_of
from tests.strategies import normal, ovis2_configs, seeds

CLOSE = 1e-10
"""Of a gradient's largest number, or of the model's largest gradient times `SMALL` where that is larger: a gradient that is 0 by
the formula (of a ViT's `k_proj.bias`) is rounding noise on both sides."""
SMALL = 1e-4
EPS = np.finfo(np.float64).eps


@st.composite
def training_batches(draw, config):
    """Ids, pixels, padding and labels: pictures or none, texts of different lengths, labels left out here and there."""
    seed, rows = draw(seeds), draw(st.integers(1, 3))
    rng = np.random.default_rng(seed)
    vision, first = config.vision_config, config.image_token_id
    indicators = list(config.visual_indicator_token_ids)
    pictures = draw(st.booleans())
    text = draw(st.integers(2, 6))
    ids = rng.integers(0, first, (rows, text))
    batch = {}
    if pictures:
        atoms = np.full((rows, vision.tokens_per_tile), first)
        ids = np.concatenate([ids[:, :1], atoms, np.tile(indicators, (rows, 1)), ids[:, 1:]], axis=1).astype(np.int64)
        side = vision.image_size
        batch["pixel_values"] = normal(seed, rows, vision.num_channels, side, side, dtype="float64")
    batch |= {"input_ids": ids, "attention_mask": draw(masks(*ids.shape))}
    labels = np.where(rng.random(ids.shape) < 0.3, -100, ids)
    assume((labels[:, 1:] != -100).any())
    return batch, labels


def torch_gradients(config, seed, batch, labels, dtype):
    """Return loss, weights by name, gradients by name; the loss is computed in the model's own type."""
    model = reference_model(config, seed, dtype)
    for weight in model.parameters():
        weight.requires_grad_()
    given_ = {name: torch.from_numpy(array) for name, array in batch.items()}
    with lifted():
        logits = model(**given_, use_cache=False).logits[:, :-1]
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.from_numpy(labels)[:, 1:].flatten())
    loss.backward()
    found = {
        name: np.zeros(weight.shape) if weight.grad is None else weight.grad.numpy()
        for name, weight in model.named_parameters()
    }
    return float(loss.detach()), weights_of(model), found


def loss_of(config, batch, labels):
    """Return the loss as a function of the weights."""

    def function(w):
        model = Ovis2ForConditionalGeneration(config, w.arrays)
        return model(**batch, labels=labels, use_cache=False).loss

    return function


@given(st.data(), ovis2_configs(), seeds)
def test_every_weight_has_torchs_gradient(data, config, seed):
    """All weights, tied or not, with biases or without, for every activation, group of heads, window and rotary scaling."""
    batch, labels = data.draw(training_batches(config))
    loss, weights, expected = torch_gradients(config, seed, batch, labels, "float64")
    found_loss, found = value_and_gradient(loss_of(config, batch, labels), weights)
    assert abs(float(found_loss) - loss) < CLOSE * max(1, abs(loss))
    close = max(
        CLOSE, 64 * EPS / loss
    )  # p - 1 of a sure and right token keeps few digits: its error is eps, and p - 1 about the loss
    largest = max(abs(gradient).max(initial=0) for gradient in expected.values())
    assert set(expected) <= set(found)
    for name, gradient in expected.items():
        scale = max(abs(gradient).max(initial=0), SMALL * largest)
        np.testing.assert_allclose(found[name], gradient, rtol=0, atol=close * scale, err_msg=name)
