"""Mistakes in choosing the tokens of an answer: the repetition penalty, and where the answer ends."""

from collections.abc import Callable
from dataclasses import replace

from ovis2_ref.golden.causes import Cause
from ovis2_ref.golden.formulas_language import answer, greedy_tokens
from ovis2_ref.golden.stages import Reference
from ovis2_ref.runtime.arrays import Array
from ovis2_ref.runtime.weights import Weights

ANSWER = ("generated",)


def with_penalty(penalty: float) -> Callable[..., Array]:
    """Return the formula of the answer with another repetition penalty."""
    return lambda m, w, ids, *logits: answer(replace(m, repetition_penalty=penalty), w, ids, *logits)


def without_stop_token(m: Reference, w: Weights, tokens: Array, *_: Array) -> Array:
    """Return an answer of one row that ends before its stop token."""
    return tokens[:, : -int(tokens[0, -1] in m.stop_tokens) or None]


ANSWER_CAUSES: tuple[Cause, ...] = (
    Cause("answer: repetition penalty ignored", ANSWER, with_penalty(1.0), "generation_config.json"),
    Cause("answer: repetition penalty 1.05", ANSWER, with_penalty(1.05), "generation_config.json"),
    Cause("answer: repetition penalty 1.1", ANSWER, with_penalty(1.1), "generation_config.json"),
    Cause(
        "answer: penalty leaves out the prompt",
        ANSWER,
        lambda m, w, ids, *logits: answer(m, w, ids[:, :0], *logits),
        "transformers penalises the prompt's tokens, too; the authors' code, which passes embeddings, new tokens only",
    ),
    Cause(
        "answer: goes on after a stop token",
        ANSWER,
        greedy_tokens,
        "eos_token_id in generation_config.json: one token, or a list of which each ends the answer",
    ),
    Cause(
        "answer: only the first stop token ends it",
        ANSWER,
        lambda m, w, ids, *logits: answer(replace(m, stop_tokens=m.stop_tokens[:1]), w, ids, *logits),
        "eos_token_id in generation_config.json: one token, or a list of which each ends the answer",
    ),
    Cause(
        "answer: stop token left out",
        ANSWER,
        without_stop_token,
        "the stop token is the answer's last token",
        of_result=True,
    ),
)
