"""What `generate` returns beside the ids, and when it stops, against transformers' own on the same logits."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ovis2_ref import GenerationConfig
from ovis2_ref.errors import InputError, MissingFeatureError
from ovis2_ref.generation import generate
from ovis2_ref.generation.stopping import ends_with
from tests.generation.test_generate import fresh
from tests.generation.torch_backed import BEFORE_5, TorchBacked
from tests.oracle import lifted

IDS = np.array([[3, 4, 5, 9], [7, 8, 9, 1]])


def both(seed: int, options: dict[str, Any]) -> tuple[Any, Any]:
    """Return what the two programs return for the same call, ours with arrays; in float64, where rounding orders no two beams."""
    model = fresh(seed, torch.float64)
    with torch.no_grad(), lifted():
        ours = generate(TorchBacked(model), IDS, **options)
        model = fresh(seed, torch.float64)
    with torch.no_grad(), lifted():
        ours = generate(TorchBacked(model), IDS, **options)
        theirs = model.generate(
            torch.from_numpy(IDS), attention_mask=torch.ones(2, 4, dtype=torch.long), **{**options, **lists}
        )
    np.testing.assert_array_equal(ours, theirs.numpy())


class Letters:
    """A tokenizer of whose tokens each is some letters."""

    words = ("a", "b", "ab", "bc", "cab", " ", "é")

    def decode(self, ids: Any) -> str:
        return "".join(self.words[int(i)] for i in ids)


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=8),
    st.lists(st.text("abc é", min_size=1, max_size=4), min_size=1, max_size=3),
)
def test_strings_that_stop(ids: list[int], strings: list[str]) -> None:
    """A string stops where it is complete for the first time after the last token, wherever that token ends."""
    text, before = Letters().decode(ids), Letters().decode(ids[:-1])
    expected = any(text[i:].startswith(s) and i + len(s) > len(before) for s in strings for i in range(len(text)))
    assert ends_with(np.array([ids]), strings, Letters()).tolist() == [expected]


def test_a_configuration_of_its_own() -> None:
    """The call beats it, it beats the model's; its attributes are options, None where they aren't set."""
    config = GenerationConfig(max_new_tokens=3, repetition_penalty=1.5)
    config.pad_token_id = 1
    model = TorchBacked(fresh(0), {"max_new_tokens": 9, "repetition_penalty": 0.8, "no_repeat_ngram_size": 1})
    assert config.top_k is None
    same = {"repetition_penalty": 1.5, "no_repeat_ngram_size": 1, "pad_token_id": 1}
    expected = generate(TorchBacked(fresh(0)), IDS, max_new_tokens=3, **same)
    np.testing.assert_array_equal(generate(model, IDS, generation_config=config), expected)
    longer = generate(TorchBacked(fresh(0)), IDS, max_new_tokens=5, **same)
    np.testing.assert_array_equal(generate(model, IDS, generation_config=config, max_new_tokens=5), longer)
    assert config.update(top_k=3, no_option=4) == {"no_option": 4}
    with pytest.raises(InputError, match="did you mean max_new_tokens"):
        GenerationConfig(max_new_token=3)
    with pytest.raises(MissingFeatureError, match="get_generation_mode"):
        config.get_generation_mode()


@pytest.mark.skipif(BEFORE_5, reason="transformers 4.56 warns of other prompts")
def test_padding_on_the_right_warns() -> None:
    mask = np.array([[1, 1, 1, 1], [1, 1, 1, 0]])
    with pytest.warns(UserWarning, match="padded on the right"):
        generate(TorchBacked(fresh(0)), IDS, attention_mask=mask, pad_token_id=0, max_new_tokens=1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stop_strings": "a"}, "tokenizer"),
        ({"stop_strings": []}, "stop_strings"),
        ({"stop_strings": ""}, "stop_strings"),
        ({"max_time": -1}, "max_time"),
        ({"stopping_criteria": [3]}, "list of functions"),
        ({"logits_processor": 3}, "list of functions"),
        ({"assistant_model": object()}, "assisted decoding is not here"),
        ({"prompt_lookup_num_tokens": 3}, "prompt_lookup_num_tokens=3, which is not supported"),
        ({"prefix_allowed_tokens_fn": lambda prompt, ids: []}, "at least one token"),
        ({"prefix_allowed_tokens_fn": lambda prompt, ids: None}, "returned None for row 0"),
        ({"prefix_allowed_tokens_fn": lambda prompt, ids: [-1]}, "each from 0 to"),
        ({"prefix_allowed_tokens_fn": lambda prompt, ids: [10**9]}, "each from 0 to"),
        ({"prefix_allowed_tokens_fn": [print]}, "should be a function"),
        ({"logits_processor": lambda ids, scores: None}, "a logits processor returned None"),
        ({"logits_processor": lambda ids, scores: scores[:, 1:]}, "return scores of the shape"),
        ({"stopping_criteria": lambda ids, scores: None}, "a stopping criterion returned None"),
        ({"stopping_criteria": lambda ids, scores: [[True], [1, 2]]}, "return True or False"),
        ({"stopping_criteria": lambda ids, scores: np.zeros(9, bool)}, "return True or False"),
        ({"streamer": 3}, "streamer"),
    ],
    ids=lambda part: part if isinstance(part, str) else "-".join(part),
)
def test_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        generate(TorchBacked(fresh(0)), IDS, **options)


def test_what_changes_nothing_is_taken() -> None:
    idle = {"synced_gpus": False, "assistant_model": None, "low_memory": False, "guidance_scale": 1, "use_cache": None}
    expected = generate(TorchBacked(fresh(0)), IDS, max_new_tokens=2)
    np.testing.assert_array_equal(generate(TorchBacked(fresh(0)), IDS, max_new_tokens=2, **idle), expected)
