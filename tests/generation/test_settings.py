"""What a call may ask for: values, precedence and refusals against transformers' own `generate` preparing the same call."""

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from ovis2_ref.errors import InputError
from ovis2_ref.generation.config import merged_settings
from tests.generation.torch_backed import BEFORE_5, reference

VALUES = {
    "max_new_tokens": st.integers(1, 30),
    "max_length": st.integers(1, 30),
    "min_new_tokens": st.integers(0, 9),
    "min_length": st.integers(0, 9),
    "do_sample": st.booleans(),
    "num_beams": st.integers(1, 4),
    "early_stopping": st.sampled_from([True, False, "never"]),
    "length_penalty": st.sampled_from([-1.0, 0.0, 2.0]),
    "temperature": st.sampled_from([0.5, 1.0]),
    "top_k": st.integers(0, 9),
    "top_p": st.sampled_from([0.2, 1.0]),
    "min_p": st.sampled_from([0.0, 0.1]),
    "typical_p": st.sampled_from([0.2, 1.0]),
    "repetition_penalty": st.sampled_from([0.9, 1.5]),
    "no_repeat_ngram_size": st.integers(0, 3),
    "eos_token_id": st.integers(0, 9) | st.lists(st.integers(0, 9), min_size=1, max_size=3),
    "pad_token_id": st.integers(0, 9),
    "renormalize_logits": st.booleans(),
}
options = st.fixed_dictionaries({}, optional=VALUES)
OFF = {
    "temperature": 1.0, "top_k": 0, "top_p": 1.0, "typical_p": 1.0, "repetition_penalty": 1.0, "no_repeat_ngram_size": 0,
    "renormalize_logits": False,
}  # fmt: skip
"""transformers keeps the None that switches an option off; here it is the value that does nothing."""


@given(options, options, st.integers(1, 12))
def test_precedence_and_lengths(checkpoint, call, prompt_tokens) -> None:
    """Call over checkpoint over default, for every option; then the number of new tokens, and the pad token."""
    model = reference()
    model.generation_config = transformers.GenerationConfig(**checkpoint)
    given_length = "max_length" in call or "max_length" in checkpoint
    ours = merged_settings(checkpoint, call)
    theirs, unused = model._prepare_generation_config(None, **call)
    assert not unused
    for name in VALUES:
        if name != "max_length":
            expected = getattr(theirs, name)
            assert getattr(ours, name) == (OFF.get(name, expected) if expected is None else expected), name
    model._prepare_special_tokens(theirs, True, device="cpu")
    pad = theirs._pad_token_tensor
    assert ours.pad_token() == (None if pad is None else int(pad))
    theirs = model._prepare_generated_length(
        generation_config=theirs,
        has_default_max_length=not given_length,
        has_default_min_length="min_length" not in call and "min_length" not in checkpoint,
        model_input_name="input_ids",
        inputs_tensor=torch.zeros(1, prompt_tokens),
        input_ids_length=prompt_tokens,
    )
    if theirs.max_length > prompt_tokens:
        assert ours.new_tokens(prompt_tokens) == theirs.max_length - prompt_tokens
        assert ours.least_new_tokens(prompt_tokens) == max(theirs.min_length - prompt_tokens, 0)
    else:
        with pytest.raises(InputError, match="max_length"):
            ours.new_tokens(prompt_tokens)


@pytest.mark.parametrize("name", ["repetition_penalty", "temperature", "top_k", "top_p", "min_p", "eos_token_id"])
def test_none_in_the_call_switches_off(name) -> None:
    checkpoint = {
        "repetition_penalty": 1.1, "temperature": 0.5, "top_k": 3, "top_p": 0.5, "min_p": 0.1, "eos_token_id": 4,
        "do_sample": True,
    }  # fmt: skip
    off = {"repetition_penalty": 1.0, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": None, "eos_token_id": None}
    assert getattr(merged_settings(checkpoint, {name: None}), name) == off[name]


REFUSED = [
    {"max_new_tokens": 0},
    {"max_new_tokens": -3},
    {"max_length": 2},
    {"early_stopping": "sometimes"},
    {"num_return_sequences": 2},
    {"num_beams": 2, "num_return_sequences": 3},
    {"do_sample": True, "temperature": 0.0},
    {"do_sample": True, "temperature": -1.0},
    {"do_sample": True, "top_k": -1},
    {"do_sample": True, "top_p": -0.1},
    {"do_sample": True, "min_p": 1.1},
    {"do_sample": True, "min_p": -0.1},
    {"do_sample": True, "typical_p": 0.0},
    {"repetition_penalty": 0.0},
    {"repetition_penalty": -1.0},
    {"encoder_repetition_penalty": 0.0},
    {"bad_words_ids": []},
    {"bad_words_ids": [3]},
    {"bad_words_ids": [[-3]]},
    {"bad_words_ids": [[4000]]},
    {"sequence_bias": [[[3, 4000], 1.0]]},
    {"sequence_bias": [3]},
    {"cache_implementation": "elastic"},
    {"max_new_token": 3},
    {"top": 3},
]
"""transformers raises for each of these, too."""

IGNORED = [
    {"temperature": 0.0},
    {"top_k": -1},
    {"min_p": 2.0},
    {"top_p": -1.0},
    {"do_sample": True, "top_p": 1.5},
    {"do_sample": True, "top_k": 0},
    {"do_sample": True, "epsilon_cutoff": 2.0},
    {"do_sample": True, "typical_p": 1.5},
]
"""transformers takes these: what doesn't sample doesn't look at them, and some values mean "off"."""


def attempt(options: dict) -> tuple[bool, bool]:
    """Return whether we refuse the options, and whether transformers does."""
    from ovis2_ref.generation import generate
    from tests.generation.torch_backed import TorchBacked, transformers_generate

    ids = np.array([[3, 5, 7]])
    model = reference()
    model.generation_config = transformers.GenerationConfig()
    try:
        generate(TorchBacked(model), ids, generator=0, **options)
        ours = False
    except InputError as error:
        assert any(name in str(error) for name in options)
        ours = True
    try:
        transformers_generate(model, ids, attention_mask=np.ones_like(ids), **options)
        theirs = False
    except (ValueError, TypeError):
        theirs = True
    return ours, theirs


@pytest.mark.parametrize("options", REFUSED, ids=str)
def test_refused(options) -> None:
    assert attempt(options) == (True, True)


@pytest.mark.parametrize("options", IGNORED, ids=str)
def test_taken(options) -> None:
    assert attempt(options) == (False, False)


@pytest.mark.skipif(BEFORE_5, reason="transformers 4.56 takes it, and then has no token to choose")
def test_forced_token_that_is_suppressed() -> None:
    assert attempt({"forced_eos_token_id": [3], "suppress_tokens": [3, 4]}) == (True, True)


def test_unknown_argument_names_what_was_meant() -> None:
    with pytest.raises(InputError, match="max_new_token'; did you mean max_new_tokens"):
        merged_settings({}, {"max_new_token": 3})


def test_static_cache_is_not_for_beams_and_not_for_checkpoints_to_ask() -> None:
    with pytest.raises(InputError, match="cache_implementation"):
        merged_settings({}, {"cache_implementation": "static", "num_beams": 2})
    assert merged_settings({"cache_implementation": "hybrid"}, {}).cache_implementation is None


def test_checkpoint_that_asks_for_what_is_not_here() -> None:
    with pytest.raises(InputError, match="guidance_scale"):
        merged_settings({"guidance_scale": 1.5}, {})
    merged_settings({"guidance_scale": 1, "transformers_version": "5", "bos_token_id": 3, "use_cache": True}, {})
