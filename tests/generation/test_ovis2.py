"""Ovis2's own `generate` against transformers', pictures included, over drawn configurations, prompts and options together.

Both in float64, transformers with its float32 islands lifted (`tests.oracle.lifted`), the scores of the beams among them: the
logits agree to 1e-10 (`tests/test_model.py`), and no two of a few thousand random candidates are as near to each other. In
float32, where transformers carries the scores, two beams of one draw in a thousand are: there rounding decides their order.
"""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import assume, given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from ovis2_ref.errors import InputError
from ovis2_ref.model import Ovis2ForConditionalGeneration
from tests.generation.torch_backed import BEFORE_5
from tests.oracle import lifted, reference_model, weights_of
from tests.test_model import as_torch, calls

GOLDEN = Path(__file__).parents[1] / "golden_original"
OPTIONS = {
    "repetition_penalty": st.sampled_from([0.8, 1.5]),
    "no_repeat_ngram_size": st.integers(1, 2),
    "min_new_tokens": st.integers(1, 3),
    "eos_token_id": st.lists(st.integers(0, 39), min_size=1, max_size=8, unique=True),
    "pad_token_id": st.integers(0, 3),
}
BEAMS = {"length_penalty": st.sampled_from([-1.0, 0.0, 2.0]), "early_stopping": st.sampled_from([True, False, "never"])}


def compare(call: tuple[Any, int, dict[str, np.ndarray]], options: dict[str, Any]) -> None:
    """Fail unless both programs answer with the same ids."""
    config, seed, arguments = call
    reference = reference_model(config, seed, "float64")
    reference.generation_config = transformers.GenerationConfig()
    model = Ovis2ForConditionalGeneration(config, weights_of(reference))
    ours = model.generate(**arguments, **options)
    with lifted(), torch.no_grad():
        theirs = reference.generate(**as_torch(arguments, "float64"), **options)
    np.testing.assert_array_equal(ours, theirs.numpy())


def left_padded(call: Any) -> bool:
    """transformers 4.56 gives other positions after padding on the right, which is no way to generate."""
    return bool(call[2]["attention_mask"][:, -1].all())


ANY = calls().filter(left_padded) if BEFORE_5 else calls()


@given(ANY, st.integers(1, 6), st.fixed_dictionaries({}, optional=OPTIONS))
def test_greedy(call, new_tokens, options) -> None:
    if BEFORE_5 and not call[2]["attention_mask"].all():
        options.pop("repetition_penalty", None)
    compare(call, {"max_new_tokens": new_tokens, **options})


@given(calls(), st.integers(1, 6), st.fixed_dictionaries({}, optional=OPTIONS), st.integers(1, 3))
def test_static_cache(call, new_tokens, options, copies) -> None:
    """Steps that are all alike give the ids of steps over a growing cache; sliding windows are refused."""
    config, seed, arguments = call
    model = Ovis2ForConditionalGeneration(config, weights_of(reference_model(config, seed, "float64")))
    options = {
        **arguments, **options, "max_new_tokens": new_tokens, "do_sample": copies > 1, "num_return_sequences": copies,
        "generator": seed,
    }  # fmt: skip
    if "sliding_attention" in config.text_config.layer_types and new_tokens > 1:
        with pytest.raises(InputError, match="sliding windows"):
            model.generate(**options, cache_implementation="static")
        return
    np.testing.assert_array_equal(model.generate(**options, cache_implementation="static"), model.generate(**options))


@given(ANY, st.integers(1, 6), st.integers(2, 4), st.fixed_dictionaries({}, optional={**OPTIONS, **BEAMS}))
def test_beams(call, new_tokens, beams, options) -> None:
    """Also where a prompt has several tiles, whose places transformers 4.56 mixes up when it copies a prompt for the beams."""
    if BEFORE_5:
        assume("pixel_values" not in call[2])
        if not call[2]["attention_mask"].all():
            options.pop("repetition_penalty", None)
    compare(call, {"max_new_tokens": new_tokens, "num_beams": beams, "num_return_sequences": beams, **options})


@given(
    calls(),
    st.sampled_from([{}, {"num_beams": 3, "num_return_sequences": 2}]),
    st.sampled_from(["transformers", "original"]),
)
def test_without_a_cache(call, options, convention) -> None:
    """Reading the whole text at every step, pictures and all, gives the ids that the cache gives.

    As long as no placeholder is made: read again, it would be taken for a picture's, here as in transformers.
    """
    config, seed, arguments = call
    options = {**options, "suppress_tokens": [config.image_token_id, *config.visual_indicator_token_ids]}
    model = Ovis2ForConditionalGeneration(config, weights_of(reference_model(config, seed, "float64")), convention)
    cached = model.generate(**arguments, max_new_tokens=5, **options)
    np.testing.assert_array_equal(cached, model.generate(**arguments, max_new_tokens=5, use_cache=False, **options))


@cache
def authors_model() -> Ovis2ForConditionalGeneration:
    """Return the authors' checkpoint, read once."""
    return Ovis2ForConditionalGeneration.from_pretrained(GOLDEN / "checkpoint", convention="original")


@pytest.mark.parametrize("case", range(8))
def test_authors_answers(case) -> None:
    """The authors' greedy tokens, from their checkpoint, token ids and pixel values; with the cache and without."""
    values = load_file(GOLDEN / "golden.safetensors")
    model = authors_model()
    ids, expected = values[f"{case}.token_ids"], values[f"{case}.generated"][0]
    atoms = ids == model.config.image_token_id  # one for each tile there, one for each of its tokens here
    ids = np.repeat(ids, np.where(atoms, model.config.vision_config.tokens_per_tile, 1))[None]
    options = {"max_new_tokens": len(expected), "eos_token_id": None, "pixel_values": values[f"{case}.pixel_values"]}
    for use_cache in (True, False):
        answer = model.generate(ids, use_cache=use_cache, **options)[0]
        np.testing.assert_array_equal(answer[: ids.shape[1]], ids[0])
        np.testing.assert_array_equal(answer[ids.shape[1] :], expected)
