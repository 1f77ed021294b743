"""All processors together: which ones a call asks for, and in which order, against transformers' `_get_logits_processor`.

Options of every kind are drawn at once, and the probabilities after all of them compared, over a text that grows. In float64 no
drawn probability lies so near to a threshold that rounding decides, as one in a million does in float32.
"""

import numpy as np
import torch
import transformers
from hypothesis import assume, given
from hypothesis import strategies as st

from ovis2_ref.generation.config import merged_settings
from ovis2_ref.generation.scores import PromptFacts, process_scores, score_processors
from ovis2_ref.ops import softmax
from tests.generation.torch_backed import BEFORE_5, VOCABULARY, reference
from tests.strategies import seeds

tokens = st.integers(0, VOCABULARY - 1)
lists = st.lists(tokens, min_size=1, max_size=3, unique=True)
BIASES = st.tuples(st.lists(st.integers(1, VOCABULARY - 1), min_size=1, max_size=3), st.sampled_from([-2.0, 3.0])).map(
    list
)
OPTIONS = {
    "sequence_bias": st.lists(BIASES, min_size=1, max_size=2, unique_by=lambda pair: pair[0][-1]),
    "encoder_repetition_penalty": st.sampled_from([0.7, 1.4]),
    "repetition_penalty": st.sampled_from([0.7, 1.4]),
    "no_repeat_ngram_size": st.integers(1, 3),
    "encoder_no_repeat_ngram_size": st.integers(1, 3),
    "bad_words_ids": st.lists(lists, min_size=1, max_size=3),
    "min_length": st.integers(1, 8),
    "min_new_tokens": st.integers(1, 4),
    "forced_eos_token_id": tokens,
    "remove_invalid_values": st.booleans(),
    "exponential_decay_length_penalty": st.tuples(st.integers(0, 2), st.sampled_from([0.5, 1.5])),
    "suppress_tokens": lists,
    "begin_suppress_tokens": lists,
    "temperature": st.sampled_from([0.7, 1.5]),
    "top_k": st.integers(0, VOCABULARY + 3),
    "top_p": st.sampled_from([0.5, 0.95]),
    "min_p": st.sampled_from([0.01, 0.3]),
    "typical_p": st.sampled_from([0.5, 0.9]),
    "epsilon_cutoff": st.sampled_from([0.001, 0.1]),
    "eta_cutoff": st.sampled_from([0.001, 0.1]),
    "renormalize_logits": st.booleans(),
    "num_beams": st.sampled_from([1, 3]),
}


@given(st.fixed_dictionaries({}, optional=OPTIONS), lists, st.booleans(), seeds)
def test_all_together(options, eos, do_sample, seed) -> None:
    rng = np.random.default_rng(seed)
    prompt_tokens, new_tokens = int(rng.integers(1, 7)), 5
    ids = rng.integers(0, 8, (2, prompt_tokens + new_tokens))
    padding = rng.integers(0, prompt_tokens, 2)
    mask = (np.arange(prompt_tokens) >= padding[:, None]).astype(np.int64)
    scores = rng.standard_normal((new_tokens, 2, VOCABULARY)) * 3
    asked = {**options, "eos_token_id": eos, "do_sample": do_sample, "max_new_tokens": new_tokens}

    assume(not (BEFORE_5 and "exponential_decay_length_penalty" in options))
    assume(options.get("forced_eos_token_id") not in options.get("suppress_tokens", []))
    settings = merged_settings({}, asked)
    facts = PromptFacts(
        prompt_ids=ids[:, :prompt_tokens],
        padding=None if mask.all() or BEFORE_5 else padding,
        vocabulary=VOCABULARY,
        min_new_tokens=settings.least_new_tokens(prompt_tokens),
        max_new_tokens=new_tokens,
    )
    ours = score_processors(settings, facts, np)

    model = reference()
    model.generation_config = transformers.GenerationConfig()
    theirs = model._prepare_generation_config(None, **asked)[0]
    model._prepare_special_tokens(theirs, True, device="cpu")
    theirs.max_length = prompt_tokens + new_tokens
    if theirs.min_new_tokens is not None:
        theirs.min_length = theirs.min_new_tokens + prompt_tokens
    reference_processors = model._get_logits_processor(
        generation_config=theirs,
        input_ids_seq_length=prompt_tokens,
        encoder_input_ids=torch.from_numpy(ids[:, :prompt_tokens]),
        prefix_allowed_tokens_fn=None,
        logits_processor=transformers.LogitsProcessorList(),
        device="cpu",
        model_kwargs={"attention_mask": None if mask.all() else torch.from_numpy(mask)},
    )
    for made in range(new_tokens):
        so_far = ids[:, : prompt_tokens + made]
        with np.errstate(invalid="ignore"):
            mine = softmax(process_scores(ours, so_far, scores[made]))
        try:
            other = reference_processors(torch.from_numpy(so_far), torch.from_numpy(scores[made])).softmax(-1).numpy()
        except ValueError:  # eta sampling's entropy, where every token is ruled out
            assert np.isnan(mine).any()
            return
        np.testing.assert_array_equal(np.isnan(mine), np.isnan(other))  # where every token is ruled out
        # At most 20 processors, each off by u of a score of at most 200; a probability is off by at most what its score is.
        error = 20 * 200 * np.finfo(np.float64).eps
        np.testing.assert_allclose(np.nan_to_num(mine), np.nan_to_num(other), rtol=0, atol=error)
