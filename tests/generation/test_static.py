"""The recorded decoding step, on the stand-in for CuPy: when it is recorded, and what it shows."""

from unittest.mock import patch

import numpy as np
import pytest

from ovis2_ref.generation.static import LONG_ENOUGH, StaticStep
from ovis2_ref.model import Ovis2ForConditionalGeneration
from ovis2_ref.runtime.taps import recording
from ovis2_ref.tiny import TINY
from tests.standin.module import standin_cupy


def test_recorded_steps_pass_no_taps() -> None:
    """A recording sees the prompt being read, and nothing of the step that is recorded and replayed on the GPU."""
    inputs = {"input_ids": np.array([[5, 6, 7]])}
    with standin_cupy():
        model = Ovis2ForConditionalGeneration.from_pretrained(TINY, device="cuda")
        with recording() as taps:
            model.generate(**inputs, max_new_tokens=4, cache_implementation="static")
        assert taps
        assert not [name for name in taps if "#" in name]


RECORDED = {
    "a long answer": ({}, True),
    "a short answer": ({"max_new_tokens": LONG_ENOUGH - 1}, False),
    "a step at a time": ({"cache_implementation": "dynamic"}, False),
    "a short answer, asked for": ({"max_new_tokens": 2, "cache_implementation": "static"}, True),
    "no cache": ({"use_cache": False}, False),
    "beams": ({"num_beams": 2}, False),
    "sampled": ({"do_sample": True, "generator": 0, "num_return_sequences": 2}, True),
    "hidden states": ({"return_dict_in_generate": True, "output_hidden_states": True}, False),
}


@pytest.mark.parametrize("what", RECORDED)
def test_long_answers_are_recorded(what: str) -> None:
    """`generate` records the step on a GPU where it pays and can be; the ids are those of the CPU."""
    options, expected = RECORDED[what]
    options = {"max_new_tokens": LONG_ENOUGH, "do_sample": False, "eos_token_id": None, "pad_token_id": 0} | options
    ids = np.array([[5, 6, 7]])
    here = Ovis2ForConditionalGeneration.from_pretrained(TINY)
    with standin_cupy(), patch.object(StaticStep, "_record", autospec=True, side_effect=StaticStep._record) as record:
        there = Ovis2ForConditionalGeneration.from_pretrained(TINY, device="cuda")
        answers = [model.generate(ids, **options) for model in (there, here)]
        assert record.called == expected
        there, here = (getattr(answer, "sequences", answer) for answer in answers)
        np.testing.assert_array_equal(there, here)


def test_nothing_is_recorded_while_a_listener_is_open() -> None:
    """Every step passes its taps."""
    with standin_cupy():
        model = Ovis2ForConditionalGeneration.from_pretrained(TINY, device="cuda")
        with recording(lambda name: name == "lm_head.output") as taps:
            model.generate(np.array([[5, 6, 7]]), max_new_tokens=LONG_ENOUGH, eos_token_id=None, pad_token_id=0)
    assert len(taps) == LONG_ENOUGH
