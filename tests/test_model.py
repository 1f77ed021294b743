"""The whole model against transformers' Ovis2ForConditionalGeneration: drawn configurations, pictures, prompts, masks together.

float64 is compared with transformers in float64, its float32 islands lifted (`tests.oracle.lifted`), to `tests.bounds.FLOAT64` of
the largest value. In float32 our error, against float64, is at most 8 times transformers' own (`tests.bounds.expect_no_worse`).
"""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ovis2_ref.config import Ovis2Config
from ovis2_ref.errors import InputError
from ovis2_ref.model import Ovis2ForConditionalGeneration, Ovis2Model
from tests.bounds import FLOAT64, eps, expect_no_worse, expect_within
from tests.oracle import TORCH_DTYPES, lifted, reference_model, to_numpy, weights_of
from tests.strategies import normal, ovis2_configs, seeds


@st.composite
def calls(draw: st.DrawFn) -> tuple[Ovis2Config, int, dict[str, np.ndarray]]:
    """A configuration, a seed for weights, and the arguments of one forward: rows of unequal length with pictures in some."""
    config = draw(ovis2_configs())
    seed = draw(seeds)
    rng = np.random.default_rng(seed)
    vision = config.vision_config
    tiles = draw(st.lists(st.integers(0, 2), min_size=1, max_size=3))
    rows = []
    for count in tiles:
        row = list(rng.integers(0, config.image_token_id, draw(st.integers(1, 5))))
        for _ in range(count):
            row += config.visual_indicator_token_ids[:1] + [config.image_token_id] * vision.tokens_per_tile
        rows.append(row + list(rng.permutation(config.visual_indicator_token_ids)) + [1])
    length = max(map(len, rows))
    left = draw(st.booleans())
    ids = np.zeros((len(rows), length), np.int64)
    mask = np.zeros_like(ids)
    for i, row in enumerate(rows):
        where = slice(length - len(row), None) if left else slice(len(row))
        ids[i, where], mask[i, where] = row, 1
    arguments = {"input_ids": ids, "attention_mask": mask}
    if sum(tiles):
        arguments["pixel_values"] = normal(seed, sum(tiles), vision.num_channels, vision.image_size, vision.image_size)
    return config, seed, arguments


def as_torch(arguments: dict[str, np.ndarray], dtype: str) -> dict[str, torch.Tensor]:
    """Return the same arguments for transformers, floats in `dtype`."""
    tensors = {name: torch.from_numpy(value) for name, value in arguments.items()}
    return {name: t.to(TORCH_DTYPES[dtype]) if t.is_floating_point() else t for name, t in tensors.items()}


RENAMED = {"cache": "past_key_values", "image_outputs": "image_hidden_states"}
"""Names of transformers 5.24, which takes the old ones, too -> the names up to 5.23, which are ours."""


def expect_close(ours: np.ndarray, theirs: np.ndarray, bound: float, what: str, rows: np.ndarray | None = None) -> None:
    """Fail if any value is off by more than `bound` times the largest value."""
    theirs = np.asarray(theirs)
    assert ours.shape == theirs.shape, what
    if rows is not None:
        ours, theirs = ours[rows], theirs[rows]
    scale = max(np.abs(theirs).max(initial=0), 1e-3)
    error = np.abs(ours - theirs).max(initial=0) / scale
    assert error <= bound, f"{what}: off by {error:.3g} of the largest value, bound {bound:.3g}"


@given(calls(), st.integers(0, 4))
def test_forward_float64(call, keep):
    """Logits, loss, every hidden state and attention, and the visual embeddings, in float64."""
    config, seed, arguments = call
    reference = reference_model(config, seed, "float64")
    model = Ovis2ForConditionalGeneration(config, weights_of(reference))
    labels = np.where(arguments["attention_mask"] == 1, arguments["input_ids"], -100)
    with lifted(), torch.no_grad():
        theirs = reference(
            **as_torch(arguments, "float64"), output_hidden_states=True, output_attentions=True, logits_to_keep=keep
        )
    ours = model(**arguments, output_hidden_states=True, output_attentions=True, logits_to_keep=keep)

    # A query at padding attends to nothing or to anything: its values mean nothing, and nothing that counts sees them.
    real = arguments["attention_mask"].astype(bool)
    expect_close(ours.logits, to_numpy(theirs.logits), FLOAT64, "logits", real[:, -keep:] if keep else real)
    assert len(ours.hidden_states) == len(theirs.hidden_states)
    for i, (mine, other) in enumerate(zip(ours.hidden_states, theirs.hidden_states, strict=True)):
        expect_close(mine, to_numpy(other), FLOAT64, f"hidden state {i}", real)
    for i, (mine, other) in enumerate(zip(ours.attentions, theirs.attentions, strict=True)):
        expect_close(mine.swapaxes(1, 2), to_numpy(other).swapaxes(1, 2), FLOAT64, f"attention {i}", real)
    if "pixel_values" in arguments:
        expect_close(ours.image_hidden_states, to_numpy(theirs.image_hidden_states), FLOAT64, "visual embeddings")
    assert ours.keys() == [RENAMED.get(key, key) for key in theirs if theirs[key] is not None]

    whole = model(**arguments, labels=labels)
    targets = torch.from_numpy(labels[:, 1:].reshape(-1))
    logits = torch.from_numpy(whole.logits[:, :-1].reshape(-1, config.vocab_size))
    # A logarithm of a softmax over V is off by (V + 4 max |logit|) u, a mean of n by n u of the sizes, at most V + 2 max |logit|.
    terms = config.vocab_size + 4 * np.abs(whole.logits).max()
    expected = torch.nn.functional.cross_entropy(logits, targets).numpy()
    assert abs(whole.loss - expected) <= eps(whole.logits.dtype) * terms * (1 + targets.numel())


@given(calls())
def test_forward_float32(call):
    """float32 strays from float64 by rounding alone, about as far as transformers' own."""
    config, seed, arguments = call
    reference = reference_model(config, seed, "float32")
    exact = Ovis2ForConditionalGeneration(config, {k: v.astype(np.float64) for k, v in weights_of(reference).items()})(
        **arguments
    )
    ours = Ovis2ForConditionalGeneration(config, weights_of(reference))(**arguments)
    with torch.no_grad():
        theirs = reference(**as_torch(arguments, "float32"))
    real = arguments["attention_mask"].astype(bool)
    expect_no_worse(ours.logits[real], to_numpy(theirs.logits)[real], exact.logits[real])


@given(calls(), st.data())
def test_embeddings_instead_of_ids(call, data):
    """Given embeddings, the placeholders are found where an embedding equals a placeholder's, as transformers finds them."""
    config, seed, arguments = call
    reference = reference_model(config, seed)
    model = Ovis2Model(config, weights_of(reference))
    ids = arguments.pop("input_ids")
    embeddings = model.get_input_embeddings(ids)
    from_ids = model(input_ids=ids, **arguments).last_hidden_state
    from_embeddings = model(inputs_embeds=embeddings, **arguments).last_hidden_state
    np.testing.assert_array_equal(from_ids, from_embeddings)
    features = np.zeros((1, int((ids == config.image_token_id).sum()), config.hidden_size), np.float32)
    expected = reference.model.get_placeholder_mask(None, torch.from_numpy(embeddings), torch.from_numpy(features))
    for mask in (
        model.get_placeholder_mask(ids, None, features),
        model.get_placeholder_mask(None, embeddings, features),
    ):
        np.testing.assert_array_equal(mask, expected[..., :1].numpy())
    with pytest.raises(InputError, match="image tokens"):
        model.get_placeholder_mask(ids, None, np.zeros((1, features.shape[1] + 1, config.hidden_size), np.float32))


@given(calls(), st.data())
def test_chunks_equal_the_whole(call, data):
    """A prompt read in chunks through the cache gives the logits of the prompt read at once (float64)."""
    config, seed, arguments = call
    weights = weights_of(reference_model(config, seed, "float64"))
    model = Ovis2ForConditionalGeneration(config, weights)
    ids, mask, pixels = arguments["input_ids"], arguments["attention_mask"], arguments.get("pixel_values")
    whole = model(**arguments).logits
    embeddings = model.get_input_embeddings(ids)
    if pixels is not None:
        embeddings = model._embed(ids, None, pixels)[0]
    cut = data.draw(st.integers(0, ids.shape[1] - 1), label="cut")
    cache, parts = None, []
    for piece in (slice(0, cut), slice(cut, None)):
        if embeddings[:, piece].shape[1]:
            output = model(
                inputs_embeds=embeddings[:, piece], attention_mask=mask[:, : piece.stop], past_key_values=cache
            )
            cache = output.past_key_values
            parts.append(output.logits)
    real = mask.astype(bool)
    expect_close(np.concatenate(parts, axis=1), whole, FLOAT64, "logits", real)


@given(calls(), st.data())
def test_arguments_that_select(call, data):
    """`return_dict=False` gives the tuple, `use_cache=False` no cache, an index array the logits of those tokens."""
    config, seed, arguments = call
    weights = weights_of(reference_model(config, seed))
    model = Ovis2ForConditionalGeneration(config, weights)
    whole = model(**arguments, output_hidden_states=True)
    as_tuple = model(**arguments, return_dict=False)
    np.testing.assert_array_equal(as_tuple[0], whole.logits)
    assert model(**arguments, use_cache=False).past_key_values is None
    tokens = whole.logits.shape[1]
    indices = data.draw(st.lists(st.integers(-tokens, tokens - 1), min_size=1, max_size=4), label="indices")
    kept = model(**arguments, logits_to_keep=np.array(indices)).logits
    # H products each, which BLAS may add in another order where there are fewer rows.
    size = np.abs(whole.hidden_states[-1]) @ np.abs(weights["lm_head.weight"]).T
    expect_within(kept, whole.logits[:, indices], config.hidden_size * size[:, indices])


@given(calls())
def test_refusals(call):
    """Wrong arguments raise our error; so does an index of no token, for which transformers raises an IndexError."""
    config, seed, arguments = call
    reference = reference_model(config, seed)
    model = Ovis2ForConditionalGeneration(config, weights_of(reference))
    ids = arguments["input_ids"]
    for index in (ids.shape[1], -ids.shape[1] - 1):
        with pytest.raises(IndexError):
            reference(input_ids=torch.from_numpy(ids * 0), logits_to_keep=torch.tensor([index]))
        with pytest.raises(InputError, match="logits_to_keep has indices from"):
            model(input_ids=ids * 0, logits_to_keep=np.array([index]))
    with pytest.raises(InputError, match="logits_to_keep should be"):
        model(input_ids=ids * 0, logits_to_keep=np.array([0.0]))
    vision = config.vision_config
    tile = np.zeros((1, vision.num_channels, vision.image_size, vision.image_size), np.float32)
    with pytest.raises(InputError, match="exactly one"):
        model()
    with pytest.raises(InputError, match="exactly one"):
        model(input_ids=ids, inputs_embeds=model.get_input_embeddings(ids))
    with pytest.raises(InputError, match="vocabulary"):
        model(input_ids=np.full((1, 2), config.vocab_size))
    with pytest.raises(InputError, match="image tokens"):
        model(input_ids=ids[:1, :1] * 0, pixel_values=tile)
    with pytest.raises(InputError, match="pixel_values"):
        model(input_ids=ids, pixel_values=tile[:, :, 1:])
