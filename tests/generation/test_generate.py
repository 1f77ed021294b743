"""`generate` against transformers' own, on one model: the logits are the same to the bit, so the ids have to be.

Drawn are prompts of unequal length (padded on the left, on the right, with holes), end tokens that do come, and the options.
Both programs take the first of the highest scores. A beam's score is a sum of logarithms, which the two libraries round apart:
beam searches run in float64 (`expect_same_in_float64`), where no two drawn beams are so near that rounding decides their order.
"""

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import assume, given
from hypothesis import strategies as st

from ovis2_ref.convention import ORIGINAL
from ovis2_ref.errors import InputError
from ovis2_ref.generation import generate
from tests.generation.torch_backed import BEFORE_5, VOCABULARY, TorchBacked, reference, transformers_generate
from tests.oracle import lifted
from tests.strategies import seeds

ends = st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=8, unique=True)
OPTIONS = {
    "eos_token_id": ends | st.integers(0, VOCABULARY - 1),
    "pad_token_id": st.integers(0, 2),
    "repetition_penalty": st.sampled_from([0.8, 1.5]),
    "no_repeat_ngram_size": st.integers(1, 3),
    "min_new_tokens": st.integers(1, 5),
    "bad_words_ids": st.lists(st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=2), min_size=1, max_size=5),
    "use_cache": st.booleans(),
}
BEAMS = {
    "length_penalty": st.sampled_from([-1.0, 0.0, 0.5, 2.0]),
    "early_stopping": st.sampled_from([True, False, "never"]),
    "renormalize_logits": st.booleans(),
}


def prompts(seed: int, holes: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Ids and a mask; each prompt ends with a real token unless there are `holes`."""
    rng = np.random.default_rng(seed)
    rows, length = int(rng.integers(1, 4)), int(rng.integers(1, 8))
    ids = rng.integers(3, VOCABULARY, (rows, length))
    if holes:
        mask = (rng.random((rows, length)) < 0.7).astype(np.int64)
        mask[:, 0] = 1  # a query that may look at nothing has no meaning
        if BEFORE_5:
            mask[:, -1] = 1
    else:
        mask = (np.arange(length) >= rng.integers(0, length, rows)[:, None]).astype(np.int64)
    return np.where(mask == 1, ids, 0), mask


def fresh(seed: int, dtype: torch.dtype = torch.float32) -> Any:
    """Return one of five models, without a generation config."""
    model = reference(seed % 5, dtype)
    model.generation_config = transformers.GenerationConfig()
    return model


def expect_same_in_float64(seed: int, ids: np.ndarray | None, **options: Any) -> None:
    """Fail unless both programs give the same ids, scores carried in float64 by both."""
    model = fresh(seed, torch.float64)
    with lifted():
        ours, theirs = generate(TorchBacked(model), ids, **options), transformers_generate(model, ids, **options)
    np.testing.assert_array_equal(ours, theirs)


@given(seeds, st.integers(1, 12), st.fixed_dictionaries({}, optional=OPTIONS), st.booleans())
def test_greedy(seed, new_tokens, options, holes) -> None:
    ids, mask = prompts(seed, holes)
    options = {"attention_mask": mask, "max_new_tokens": new_tokens, **options}
    if BEFORE_5 and not mask.all():
        options.pop("repetition_penalty", None)  # which counts the padding there
    model = fresh(seed)
    np.testing.assert_array_equal(
        generate(TorchBacked(model), ids, **options), transformers_generate(model, ids, **options)
    )


@given(seeds, st.integers(1, 12), st.integers(2, 5), st.fixed_dictionaries({}, optional=OPTIONS | BEAMS), st.data())
def test_beams(seed, new_tokens, beams, options, data) -> None:
    ids, mask = prompts(seed)
    returned = data.draw(st.integers(1, beams))
    options = {
        "attention_mask": mask, "max_new_tokens": new_tokens, "num_beams": beams, "num_return_sequences": returned, **options,
    }  # fmt: skip
    if BEFORE_5 and not mask.all():
        options.pop("repetition_penalty", None)
    expect_same_in_float64(seed, ids, **options)


@given(seeds, st.sampled_from([0.5, 1.0, 2.0]), st.sampled_from([True, False, "never"]))
def test_beams_that_end_early_or_hope(seed, length_penalty, early_stopping) -> None:
    """Long answers with many end tokens: the search ends when no running beam can still be better."""
    ids, mask = prompts(seed)
    eos = np.random.default_rng(seed).choice(VOCABULARY, 14, replace=False).tolist()
    options = {
        "attention_mask": mask, "max_new_tokens": 24, "num_beams": 2, "num_return_sequences": 2, "eos_token_id": eos,
        "length_penalty": length_penalty, "early_stopping": early_stopping,
    }  # fmt: skip
    expect_same_in_float64(seed, ids, **options)


@given(seeds, st.integers(1, 3), st.fixed_dictionaries({}, optional={**OPTIONS, "max_length": st.integers(9, 15)}))
def test_prompt_of_embeddings(seed, beams, options) -> None:
    """Only new ids come back, processors count new ids only, and `max_length` counts the embeddings."""
    ids, mask = prompts(seed)
    assume(ids.shape[1] > 1 or not BEFORE_5)
    embeddings = fresh(seed, torch.float64).model.embed_tokens(torch.from_numpy(ids)).detach().numpy()
    options = {"inputs_embeds": embeddings, "attention_mask": mask, "num_beams": beams, **options}
    if BEFORE_5:
        options.setdefault("max_length", 20)
    if BEFORE_5 and not mask.all():
        options.pop("repetition_penalty", None)
    expect_same_in_float64(seed, None, **options)


@given(seeds, st.integers(0, 3), st.integers(0, 3))
def test_mask_that_is_not_given(seed, pad, eos) -> None:
    """Padding is where the pad token is, unless that is the end token."""
    ids, _ = prompts(seed)
    options = {"pad_token_id": pad, "eos_token_id": eos, "max_new_tokens": 4}
    ids[:, -1] = 5
    model = fresh(seed)
    np.testing.assert_array_equal(
        generate(TorchBacked(model), ids, **options), transformers_generate(model, ids, **options)
    )


@given(seeds, st.fixed_dictionaries({}, optional={k: v for k, v in OPTIONS.items() if k != "use_cache"}))
def test_checkpoint_settings_are_honoured(seed, options) -> None:
    """The options in generation_config.json, the repetition penalty among them, hold for greedy decoding."""
    ids, mask = prompts(seed)
    model = fresh(seed)
    if BEFORE_5 and not mask.all():
        options.pop("repetition_penalty", None)
    checkpoint = {**options, "temperature": 0.1, "top_k": 2, "transformers_version": "5.0"}
    model.generation_config = transformers.GenerationConfig(**checkpoint)
    ours = generate(TorchBacked(model, checkpoint), ids, attention_mask=mask)
    np.testing.assert_array_equal(ours, transformers_generate(model, ids, attention_mask=mask))


class Written:
    """A streamer that keeps what it gets."""

    def __init__(self) -> None:
        self.got: list[list[int]] = []
        self.ended = False

    def put(self, ids: Any) -> None:
        self.got.append(ids.reshape(-1).tolist())

    def end(self) -> None:
        self.ended = True


@given(seeds, ends)
def test_streamer_gets_what_transformers_gives(seed, eos) -> None:
    ids, mask = prompts(seed)
    model = fresh(seed)
    ours, theirs = Written(), Written()
    options = {"attention_mask": mask, "eos_token_id": eos, "max_new_tokens": 9}
    result = generate(TorchBacked(model), ids, streamer=ours, **options)
    transformers_generate(model, ids, streamer=theirs, **options)
    assert ours.got == theirs.got
    assert ours.ended
    np.testing.assert_array_equal(np.array(ours.got[1:]).T, result[:, ids.shape[1] :])


def test_streamer_of_transformers_fits(capsys) -> None:
    class Tokenizer:
        def decode(self, ids, **_):
            return "".join(f"{i} " for i in ids)

    ids = np.array([[3, 4, 5]])
    streamer = transformers.TextStreamer(Tokenizer(), skip_prompt=True)
    result = generate(TorchBacked(fresh(0)), ids, streamer=streamer, max_new_tokens=4)
    assert capsys.readouterr().out.split() == [str(i) for i in result[0, 3:]]


@given(
    seeds, st.fixed_dictionaries({}, optional={k: OPTIONS[k] for k in ("repetition_penalty", "no_repeat_ngram_size")})
)
def test_original_convention_counts_new_tokens_only(seed, options) -> None:
    """The authors' code gives its language model embeddings: the same new tokens as from them; placeholder ids are no tokens."""
    ids, mask = prompts(seed)
    ids = ids[:1, mask[0].argmax() :]
    assume(ids.shape[1] > 1 or not BEFORE_5)
    model = fresh(seed)
    embeddings = model.model.embed_tokens(torch.from_numpy(ids)).detach().numpy()

    class WithPlaceholders(TorchBacked):
        def __call__(self, input_ids=None, inputs_embeds=None, **rest):
            if input_ids.shape[1] > 1 or (input_ids < 0).any():
                input_ids, inputs_embeds = None, embeddings
            return super().__call__(input_ids, inputs_embeds, **rest)

    placeholders = np.where(np.arange(ids.shape[1]) % 2 == 0, -300, ids)
    ours = generate(WithPlaceholders(model, convention=ORIGINAL), placeholders, max_new_tokens=8, **options)
    np.testing.assert_array_equal(ours[:, : ids.shape[1]], placeholders)
    expected = transformers_generate(model, None, inputs_embeds=embeddings, max_new_tokens=8, **options)
    np.testing.assert_array_equal(ours[:, ids.shape[1] :], expected)


IDS = np.array([[3, 4, 5], [6, 7, 8]])
REFUSED = {
    "no prompt": (None, {}, "prompt"),
    "an empty prompt": (np.zeros((1, 0), int), {}, "shape"),
    "flat ids": (np.array([3, 4]), {}, "input_ids"),
    "ids that are not whole": (np.array([[3.0]]), {}, "input_ids"),
    "a mask of another shape": (IDS, {"attention_mask": np.ones((2, 2))}, "attention_mask"),
    "flat embeddings": (None, {"inputs_embeds": np.ones((3, 16), np.float32)}, "inputs_embeds"),
    "embeddings of another length": (IDS, {"inputs_embeds": np.ones((2, 4, 16), np.float32)}, "input_ids"),
    "a streamer with beams": (IDS, {"num_beams": 2, "streamer": Written()}, "streamer"),
    "all tokens forbidden": (IDS, {"suppress_tokens": list(range(VOCABULARY))}, "no next token"),
    "all tokens forbidden to beams": (
        IDS,
        {"suppress_tokens": list(range(VOCABULARY)), "num_beams": 2},
        "no next token",
    ),
    "all tokens forbidden to samples": (
        IDS,
        {"suppress_tokens": list(range(VOCABULARY)), "do_sample": True},
        "no next token",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_refused(what) -> None:
    ids, options, message = REFUSED[what]
    with pytest.raises(InputError, match=message):
        generate(TorchBacked(fresh(0)), ids, **options)


@pytest.mark.parametrize(
    "options", [{}, {"do_sample": True}, {"num_beams": 2}, {"num_beams": 2, "do_sample": True}], ids=str
)
def test_nan_is_an_error_that_says_so(options) -> None:
    class Broken(TorchBacked):
        def __call__(self, **arguments):
            output = super().__call__(**arguments)
            output.logits[-1, :, 3] = np.nan
            return output

    with pytest.raises(InputError, match="NaN"):
        generate(Broken(fresh(0)), IDS, **options)
