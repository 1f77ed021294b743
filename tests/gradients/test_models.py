"""Gradients of whole models of drawn configurations, against torch's autograd through transformers."""

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from ovis2_ref import TINY, Ovis2ForConditionalGeneration, recording
from ovis2_ref.errors import InputError
from ovis2_ref.gradients import value_and_gradient
from ovis2_ref.runtime import backward_blocks, blocks
from ovis2_ref.vision.visual_tokenizer import gumbel_noise
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


def torch_gradients(config, seed, batch, labels, dtype, prepare=lambda model, inputs: None):
    """Return loss, weights by name, gradients by name; the loss is computed in the model's own type."""
    model = reference_model(config, seed, dtype)
    for weight in model.parameters():
        weight.requires_grad_()
    given_ = {name: torch.from_numpy(array.copy()) for name, array in batch.items()}
    prepare(model, given_)
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


def gumbel_softmax(logits, **_):
    """torch's, with the noise that our model draws from its seed."""
    soft = torch.softmax(logits + torch.from_numpy(gumbel_noise(tuple(logits.shape), 0)), -1)
    return torch.nn.functional.one_hot(soft.argmax(-1), logits.shape[-1]) - soft.detach() + soft


@given(st.data(), ovis2_configs(), st.sampled_from(["softmax", "st_argmax", "gumbel_argmax"]), seeds)
def test_every_weight_has_torchs_gradient(data, config, tokenize, seed):
    """All weights, tied or not, with biases or without, for every activation, group of heads, window and rotary scaling, and for
    soft and hard visual tokens.
    """
    config = replace(config, vision_config=replace(config.vision_config, tokenize_function=tokenize))
    batch, labels = data.draw(training_batches(config))
    with patch.object(torch.nn.functional, "gumbel_softmax", gumbel_softmax):
        loss, weights, expected = torch_gradients(config, seed, batch, labels, "float64")
    found_loss, found = value_and_gradient(loss_of(config, batch, labels), weights)
    assert abs(float(found_loss) - loss) < CLOSE * max(1, abs(loss))
    assert set(expected) <= set(found)
    assert_close(found, expected, loss)


def assert_close(found, expected, loss):
    """Compare the gradients by name. Where a token is sure and right p - 1 is about the loss, its error eps."""
    close = max(CLOSE, 64 * EPS / loss)
    largest = max(abs(gradient).max(initial=0) for gradient in expected.values())
    for name, gradient in expected.items():
        scale = max(abs(gradient).max(initial=0), SMALL * largest)
        np.testing.assert_allclose(found[name], gradient, rtol=0, atol=close * scale, err_msg=name)


@given(st.data(), ovis2_configs(), seeds)
def test_in_blocks_the_gradients_are_the_same(data, config, seed):
    """Blocks of a few rows, of a few queries and of one head give torch's gradients, too."""
    batch, labels = data.draw(training_batches(config))
    loss, weights, expected = torch_gradients(config, seed, batch, labels, "float64")
    small = {"IN_CACHE": data.draw(st.sampled_from([1, 30])), "ROWS_IN_CACHE": 8}
    with patch.multiple(backward_blocks, **small), patch.object(blocks, "ROWS_OF_SCORES", 3):
        found = value_and_gradient(loss_of(config, batch, labels), weights)[1]
    assert_close(found, expected, loss)


@given(st.data(), ovis2_configs(), seeds)
def test_inputs_and_tapped_values_have_torchs_gradients(data, config, seed):
    """Pixels, and the output of every module, against `retain_grad`; `num_items_in_batch` divides the sum."""
    batch, labels = data.draw(training_batches(config))
    kept = {}

    def prepare(model, inputs):
        if "pixel_values" in inputs:
            kept["pixel_values"] = inputs["pixel_values"].requires_grad_()

        def keep(name):
            def hook(_module, _arguments, output):
                if isinstance(output, torch.Tensor) and output.requires_grad:
                    output.retain_grad()
                    kept.setdefault(f"{name}.output.gradient", output)  # the table is looked up again for indicators

            return hook

        for name, module in model.named_modules():
            module.register_forward_hook(keep(name))

    loss, weights, expected = torch_gradients(config, seed, batch, labels, "float64", prepare)
    items = data.draw(st.integers(1, 99))
    share = (labels[:, 1:] != -100).sum() / items
    model = Ovis2ForConditionalGeneration(config, weights)
    with recording(lambda name: name.endswith(".gradient")) as values:
        found_loss, found = model.loss_and_gradients(labels=labels, num_items_in_batch=items, **batch)
    assert float(found_loss) == pytest.approx(loss * share, rel=1e-9, abs=1e-9)
    for name, value in kept.items():
        if value.grad is not None:
            in_rows = "patch_embedding" in name  # transformers has the patches of a tile as a picture
            expected[name] = (value.grad.flatten(2).transpose(1, 2) if in_rows else value.grad).numpy()
    common = {name: share * gradient for name, gradient in expected.items() if name in found or name in values}
    everything = {name: (values | found)[name].reshape(gradient.shape) for name, gradient in common.items()}
    assert_close(everything, common, loss)
    layers = config.text_config.num_hidden_layers
    assert sum(name.endswith("mlp.down_proj.output.gradient") for name in common) == layers
    assert f"model.language_model.layers.{layers - 1}.self_attn.scores.gradient" in values
    assert ("pixel_values" in common) == ("pixel_values" in batch)


def tiny_config():
    """A small configuration with a tied head."""
    return Ovis2ForConditionalGeneration.from_pretrained(TINY).config


def test_embeddings_have_a_gradient():
    """Where embeddings are given in place of ids, theirs is what the table's rows would have summed."""
    model = Ovis2ForConditionalGeneration.random(tiny_config(), 0, dtype="float64")
    ids = np.array([[3, 1, 3, 2]])
    embeddings = model.get_input_embeddings(ids)
    by_rows = model.loss_and_gradients(labels=ids, inputs_embeds=embeddings)[1]
    by_table = model.loss_and_gradients(labels=ids, input_ids=ids)[1]["model.language_model.embed_tokens.weight"]
    head = by_rows["model.language_model.embed_tokens.weight"]  # tied: the head's part alone
    np.add.at(head, ids[0], by_rows["inputs_embeds"][0])
    np.testing.assert_allclose(head, by_table, rtol=0, atol=CLOSE * abs(by_table).max())


def test_a_loss_says_how_to_get_its_gradients():
    """`loss.backward()` of a script gets our error; the loss is a tensor for all else."""
    model = Ovis2ForConditionalGeneration.random(tiny_config(), 0)
    ids = torch.tensor([[3, 1, 3, 2]])
    loss = model(input_ids=ids, labels=ids).loss
    assert loss.item() == pytest.approx(float(loss.numpy()))
    assert f"{loss:.3f} {loss}" == f"{loss.item():.3f} {torch.tensor(loss.item())}"
    with pytest.raises(InputError, match="loss_and_gradients"):
        (loss / 2).backward()
    found, gradients = model.loss_and_gradients(labels=ids, input_ids=ids)
    assert isinstance(found, torch.Tensor) and found.item() == pytest.approx(loss.item())
    assert all(isinstance(gradient, torch.Tensor) for gradient in gradients.values())
