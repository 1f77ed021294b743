"""The visual tokenizer's parts: merging against torch's unfold over a zero-padded grid, as the authors' code pads it where the
stride doesn't divide; hard choices to the bit against transformers' `hard_softmax` and torch's `gumbel_softmax`; the table
against transformers' `Ovis2VisualEmbeddingTable`; drawn noise against the distribution it should follow.
"""

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from transformers.models.ovis2.modeling_ovis2 import Ovis2VisualEmbeddingTable, hard_softmax

from ovis2_ref.config import Ovis2VisionConfig
from ovis2_ref.convention import ORIGINAL, TRANSFORMERS, Convention
from ovis2_ref.errors import ConfigError, InputError
from ovis2_ref.model import Ovis2ForConditionalGeneration
from ovis2_ref.runtime import blocks
from ovis2_ref.runtime.arrays import DTYPES
from ovis2_ref.runtime.taps import recording
from ovis2_ref.runtime.weights import Weights
from ovis2_ref.tiny import TINY
from ovis2_ref.vision.visual_tokenizer import (
    embed_visual_tokens,
    gumbel_noise,
    indicator_embeddings,
    merge_patches,
    straight_through,
    visual_embeddings,
    visual_tokens,
)
from tests.oracle import TORCH_DTYPES, to_numpy
from tests.strategies import normal, seeds
from tests.vision.oracle import as_torch

dtypes = st.sampled_from(sorted(DTYPES))


@given(seeds, st.integers(0, 3), st.integers(1, 9), st.integers(1, 5), st.integers(1, 6), dtypes)
def test_merging_pads_right_and_bottom_with_zeros(
    seed: int, tiles: int, side: int, hidden: int, stride: int, dtype: str
) -> None:
    features = normal(seed, tiles, side * side, hidden).astype(DTYPES[dtype])
    missing = -side % stride
    grid = as_torch(features, "float64").transpose(1, 2).reshape(tiles, hidden, side, side)
    squares = torch.nn.functional.unfold(
        torch.nn.functional.pad(grid, (0, missing, 0, missing)), kernel_size=stride, stride=stride
    )
    squares = squares.reshape(tiles, hidden, stride * stride, ((side + missing) // stride) ** 2)
    theirs = squares.permute(0, 3, 2, 1).flatten(2).numpy()
    ours = merge_patches(features, stride)
    assert ours.dtype == features.dtype
    assert np.array_equal(ours.astype(np.float64), theirs)


@given(seeds, st.integers(1, 3), st.integers(1, 40), st.sampled_from([1.0, 30.0]), dtypes)
def test_straight_through_rounds_as_transformers_does(
    seed: int, tokens: int, words: int, spread: float, dtype: str
) -> None:
    soft = (normal(seed, 1, tokens, words) * spread).round(1).astype(DTYPES[dtype])  # rounded: ties occur
    if seed % 2:
        soft = -abs(soft)  # where 1 - soft can be inexact
    with patch.object(torch.Tensor, "softmax", lambda self, dim: self):
        theirs = hard_softmax(as_torch(soft, dtype), dim=-1)
    assert straight_through(soft).tobytes() == to_numpy(theirs).tobytes()


def head(seed: int, hidden: int, words: int, dtype: str) -> dict[str, np.ndarray]:
    """Weights of a drawn tokenizer head."""
    drawn = {
        "t.head_linear.weight": normal(seed, words, hidden),
        "t.head_norm.weight": 1 + 0.1 * normal(seed + 1, words),
        "t.head_norm.bias": 0.1 * normal(seed + 2, words) - 3,  # all logits negative: 1 - logit is inexact
    }
    return {name: value.astype(DTYPES[dtype]) for name, value in drawn.items()}


@given(seeds, st.sampled_from([0.3, 1000.0]), dtypes, st.sampled_from([TRANSFORMERS, ORIGINAL]))
def test_gumbel_argmax_with_given_noise(seed: int, tau: float, dtype: str, convention: Convention) -> None:
    config = Ovis2VisionConfig(vocab_size=25, tokenize_function="gumbel_argmax", tau=tau)
    exponential = as_torch(np.random.default_rng(seed).standard_exponential((2, 50, 20)), dtype)
    noise = -exponential.log()
    ours, logits = tokens_and_logits(seed, 20, dtype, config, convention, to_numpy(noise))
    # transformers leaves tau at 1 whatever the configuration says; the authors' code uses it. It shows in the ties of 16 bits.
    with patch.object(torch.Tensor, "exponential_", lambda self: self.copy_(exponential)):
        theirs = torch.nn.functional.gumbel_softmax(logits, tau=tau if convention is ORIGINAL else 1.0, hard=True)
    same = (ours == to_numpy(theirs)).all(axis=-1)
    assert same.mean() >= 0.95  # a softmax rounded the other way can make or break a tie


@given(seeds, st.integers(1, 3), st.integers(1, 20), st.integers(2, 30))
def test_each_row_has_noise_of_its_own(seed: int, tiles: int, tokens: int, words: int) -> None:
    """Groups of rows give the embeddings of all rows at once. A seed is no noise: each group would draw the same numbers."""
    config = Ovis2VisionConfig(vocab_size=words + 5, tokenize_function="gumbel_argmax")
    weights = head(seed, 6, words, "float64") | {"v.weight": normal(seed, words + 5, 4, dtype="float64")}
    w, table = Weights(weights, "t"), Weights(weights, "v")
    merged, noise = normal(seed, tiles, tokens, 6, dtype="float64"), gumbel_noise((tiles, tokens, words), seed)
    whole = visual_embeddings(merged, w, table, config, TRANSFORMERS, noise)
    with patch.object(blocks, "IN_MEMORY", 12):
        groups = visual_embeddings(merged, w, table, config, TRANSFORMERS, noise)
        with pytest.raises(TypeCheckError):
            visual_embeddings(merged, w, table, config, TRANSFORMERS, seed)
    with pytest.raises(InputError, match="gumbel_argmax needs noise"):
        visual_embeddings(merged, w, table, config, TRANSFORMERS, noise[..., 1:])
    np.testing.assert_allclose(groups, whole, rtol=0, atol=1e-12)


def test_a_seed_of_a_model_is_the_noise_that_it_draws() -> None:
    model = Ovis2ForConditionalGeneration.from_pretrained(TINY)
    vision = replace(model.config.vision_config, tokenize_function="gumbel_argmax")
    model = Ovis2ForConditionalGeneration(replace(model.config, vision_config=vision), model.weights)
    tiles = normal(0, 3, 3, vision.image_size, vision.image_size)
    noise = gumbel_noise((3, vision.tokens_per_tile, vision.vocab_size - vision.num_visual_indicator_tokens), 7)
    drawn, given_noise, other = (
        model.get_image_features(tiles, noise).pooler_output for noise in (np.int64(7), noise, 8)
    )
    assert drawn.tobytes() == given_noise.tobytes() != other.tobytes()
    with pytest.raises(InputError, match="gumbel_argmax needs noise"):
        model.get_image_features(tiles, noise[..., 1:])


@given(seeds, st.sampled_from([1, 2, 3, 40]), dtypes, st.sampled_from([TRANSFORMERS, ORIGINAL]))
def test_st_argmax_in_both_conventions(seed: int, words: int, dtype: str, convention: Convention) -> None:
    config = Ovis2VisionConfig(vocab_size=words + 5, tokenize_function="st_argmax")
    ours, logits = tokens_and_logits(seed, words, dtype, config, convention)
    softmax = replace(config, tokenize_function="softmax")
    soft = as_torch(tokens_and_logits(seed, words, dtype, softmax, convention)[0], dtype)
    with patch.object(torch.Tensor, "softmax", lambda self, dim: self):
        theirs = hard_softmax(logits if convention is ORIGINAL else soft, dim=-1)
    assert ours.tobytes() == to_numpy(theirs).tobytes()


def tokens_and_logits(
    seed: int,
    words: int,
    dtype: str,
    config: Ovis2VisionConfig,
    convention: Convention,
    noise: np.ndarray | None = None,
) -> tuple[np.ndarray, torch.Tensor]:
    """Visual tokens of a drawn head, and its logits as they were tapped on the way."""
    weights = {
        "t.head_linear.weight": normal(seed, words, 6),
        "t.head_norm.weight": 1 + 0.1 * normal(seed + 1, words),
        "t.head_norm.bias": 0.1 * normal(seed + 2, words) - 3,  # all logits negative: 1 - logit is inexact
    }
    weights = {name: value.astype(DTYPES[dtype]) for name, value in weights.items()}
    merged = normal(seed, 2, 50, 6).astype(DTYPES[dtype])
    with recording() as taps:
        tokens = visual_tokens(merged, Weights(weights, "t"), config, convention, noise)
    return tokens, as_torch(taps["t.head_norm.output"], dtype)


def test_drawn_noise_chooses_words_with_their_probabilities() -> None:
    """argmax(log p + noise) is word w with probability p_w (Maddison et al., 2017); 20,000 draws, 5 standard deviations."""
    p = np.array([0.5, 0.25, 0.15, 0.08, 0.02])
    logits = np.broadcast_to(np.log(p), (20000, 5))
    counts = np.bincount((logits + gumbel_noise(logits.shape, 7)).argmax(axis=-1), minlength=5)
    assert (np.abs(counts - 20000 * p) < 5 * np.sqrt(20000 * p * (1 - p))).all()
    assert np.array_equal(gumbel_noise(logits.shape, 7), gumbel_noise(logits.shape, 7))
    assert not np.array_equal(gumbel_noise(logits.shape, 7), gumbel_noise(logits.shape, 8))


@given(seeds, st.integers(1, 30), st.integers(0, 7), st.integers(1, 9), dtypes)
def test_embedding_table(seed: int, words: int, indicators: int, hidden: int, dtype: str) -> None:
    table = normal(seed, words + indicators, hidden).astype(DTYPES[dtype])
    reference = Ovis2VisualEmbeddingTable(words + indicators, hidden).to(TORCH_DTYPES[dtype])
    reference.weight.data = as_torch(table, dtype)
    tokens = np.random.default_rng(seed).dirichlet(np.ones(words), (2, 3)).astype(DTYPES[dtype])
    padded = np.concatenate([tokens.astype(np.float64), np.zeros((2, 3, indicators))], axis=-1)
    theirs = to_numpy(reference(as_torch(padded, dtype))).astype(np.float64)
    ours = embed_visual_tokens(tokens, table).astype(np.float64)
    # Probabilities sum to 1, so a sum is off by at most `words` roundings of the largest row, in the type that carries it.
    carried = max(float(torch.finfo(TORCH_DTYPES[dtype]).eps), 0.0)
    assert (
        np.abs(ours - theirs).max()
        <= (words if dtype in ("float32", "float64") else 2) * carried * np.abs(table.astype(np.float64)).max()
    )
    ids = np.random.default_rng(seed).integers(0, words + indicators, (2, 3))
    for kind in (np.int8, np.int16, np.int32, np.int64):
        rows = reference(torch.from_numpy(ids.astype(np.int64)))
        assert embed_visual_tokens(ids.astype(kind), table).tobytes() == to_numpy(rows).tobytes()
    config = Ovis2VisionConfig(vocab_size=words + indicators, num_visual_indicator_tokens=indicators)
    assert np.array_equal(indicator_embeddings(table, config), table[words:])


@pytest.mark.parametrize("tau", [0.0, -1.0, float("nan")])
def test_a_tau_that_cannot_work_is_refused(tau: float) -> None:
    with pytest.raises(ConfigError, match="tau"):
        Ovis2VisionConfig(tau=tau)
