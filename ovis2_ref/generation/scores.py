"""Choose the processors that a call asks for, in transformers' order, and apply them to the logits."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from types import ModuleType

import numpy as np
from jaxtyping import Float, Int

from ovis2_ref.errors import InputError
from ovis2_ref.files.checks import shown
from ovis2_ref.generation import processors, truncation
from ovis2_ref.generation.settings import GenerationSettings
from ovis2_ref.runtime.arrays import Array

Processor = Callable[[Array, Array], Array]
"""(ids so far (rows, tokens), scores (rows, vocabulary)) -> scores."""


@dataclass(frozen=True)
class PromptFacts:
    """What the processors need of the prompt and the length."""

    prompt_ids: Int[Array, "rows tokens"]
    """The prompt as the processors see it: no tokens where only embeddings were given."""
    padding: Int[Array, " rows"] | None
    """The number of padding tokens at the start of each row; None if there are none."""
    vocabulary: int
    """Tokens of the vocabulary."""
    min_new_tokens: int
    """New tokens before which the end is ruled out."""
    max_new_tokens: int
    """New tokens at most."""
    allowed_tokens: Callable[[int, Array], list[int]] | None = None
    """The caller's `prefix_allowed_tokens_fn`: the only tokens that may follow the ids of prompt number i."""


def score_processors(
    settings: GenerationSettings, facts: PromptFacts, xp: ModuleType, custom: Sequence[Processor] = ()
) -> list[Processor]:
    """Return the processors that `settings` ask for and the caller's `custom` ones, in the order of transformers'
    `_get_logits_processor` (5.24).

    Raises `InputError` for tokens outside the vocabulary.
    """
    chosen = [*_history_processors(settings, facts, xp), *_length_processors(settings, facts, xp)]
    chosen += [partial(_checked, processor) for processor in custom]
    if settings.do_sample:
        chosen += _sampling_processors(settings)
    if settings.renormalize_logits:
        chosen.append(lambda ids, scores: processors.log_softmax(scores))
    return chosen


def process_scores(
    chosen: Sequence[Processor], ids: Int[Array, "rows tokens"], scores: Float[Array, "rows vocabulary"]
) -> Float[Array, "rows vocabulary"]:
    """Return the scores after every processor."""
    for processor in chosen:
        scores = processor(ids, scores)
    return scores


def _checked(processor: Processor, ids: Array, scores: Array) -> Array:
    """Return what a caller's `processor` makes of the scores. Raises `InputError` for anything but other scores."""
    changed = processor(ids, scores)
    if getattr(changed, "shape", None) != scores.shape or changed.dtype.kind not in "fV":  # V: bfloat16
        raise InputError(f"a logits processor returned {shown(changed)}; return scores of the shape {scores.shape}")
    return changed


def _history_processors(settings: GenerationSettings, facts: PromptFacts, xp: ModuleType) -> Iterator[Processor]:
    """Yield the processors that look at the tokens so far."""
    prompt = facts.prompt_ids
    biases = _biases(settings.biases(), facts, xp)
    if biases:
        yield partial(processors.sequence_bias, biases=biases)
    # transformers leaves out the "encoder" options where the prompt came as embeddings
    if settings.encoder_repetition_penalty != 1 and prompt.shape[1]:
        reward = 1 / settings.encoder_repetition_penalty
        yield lambda ids, scores: processors.repetition_penalty(prompt, scores, reward)
    if settings.repetition_penalty != 1:
        yield partial(processors.repetition_penalty, penalty=settings.repetition_penalty, ignored=facts.padding)
    if settings.no_repeat_ngram_size:
        yield partial(processors.no_repeat_ngram, size=settings.no_repeat_ngram_size)
    if settings.encoder_no_repeat_ngram_size and prompt.shape[1]:
        yield partial(processors.no_repeat_ngram, size=settings.encoder_no_repeat_ngram_size, source=prompt)
    ends = [[token] for token in settings.eos_tokens()]
    words = _biases({tuple(w): -np.inf for w in settings.bad_words_ids or [] if list(w) not in ends}, facts, xp)
    if words:
        yield partial(processors.sequence_bias, biases=words)


def _length_processors(settings: GenerationSettings, facts: PromptFacts, xp: ModuleType) -> Iterator[Processor]:
    """Yield the processors that look at the number of tokens made."""
    start = facts.prompt_ids.shape[1]

    def tokens(ids: list[int]) -> Array:
        return xp.asarray([token for token in ids if token < facts.vocabulary], dtype=np.int64)

    def when(holds: Callable[[int], bool], change: Callable[[Array], Array]) -> Processor:
        return lambda ids, scores: change(scores) if holds(ids.shape[1] - start) else scores

    ends = tokens(settings.eos_tokens())
    if facts.min_new_tokens and len(ends):
        yield when(lambda made: made < facts.min_new_tokens, partial(processors.suppress, tokens=ends))
    if (allowed := facts.allowed_tokens) is not None:
        yield partial(processors.allow_only, allowed=allowed, beams=settings.num_beams)
    if settings.forced_eos_token_id is not None:
        forced = settings.forced_eos_token_id
        last = tokens(forced if isinstance(forced, list) else [forced])
        yield when(lambda made: made == facts.max_new_tokens - 1, partial(processors.force, tokens=last))
    if settings.remove_invalid_values:
        yield when(lambda made: True, processors.remove_invalid)
    if settings.exponential_decay_length_penalty is not None and len(ends):
        begin, factor = settings.exponential_decay_length_penalty
        yield (
            lambda ids, scores: (
                processors.exponential_decay(scores, ends, factor, ids.shape[1] - start - begin)
                if ids.shape[1] - start > begin
                else scores
            )
        )
    if settings.suppress_tokens:
        yield when(lambda made: True, partial(processors.suppress, tokens=tokens(settings.suppress_tokens)))
    if settings.begin_suppress_tokens:
        yield when(lambda made: made == 0, partial(processors.suppress, tokens=tokens(settings.begin_suppress_tokens)))


def _sampling_processors(settings: GenerationSettings) -> Iterator[Processor]:
    """Yield the processors for sampling. Beams keep one token more than there are end tokens, so that one continues."""
    keep = 1 if settings.num_beams == 1 else len(settings.eos_tokens()) + 1 if settings.eos_tokens() else 2
    if settings.temperature != 1:
        yield lambda ids, scores: truncation.temperature(scores, settings.temperature)
    if settings.top_k:
        yield lambda ids, scores: truncation.top_k(scores, settings.top_k, keep)
    if settings.top_p < 1:
        yield lambda ids, scores: truncation.top_p(scores, settings.top_p, keep)
    if (least := settings.min_p) is not None:
        yield lambda ids, scores: truncation.min_p(scores, least, keep)
    if settings.typical_p < 1:
        yield lambda ids, scores: truncation.typical_p(scores, settings.typical_p, keep)
    if 0 < settings.epsilon_cutoff < 1:
        yield lambda ids, scores: truncation.epsilon_cutoff(scores, settings.epsilon_cutoff, keep)
    if 0 < settings.eta_cutoff < 1:
        yield lambda ids, scores: truncation.eta_cutoff(scores, settings.eta_cutoff, keep)


def _biases(biases: dict[tuple[int, ...], float], facts: PromptFacts, xp: ModuleType) -> list[tuple[Array, float]]:
    """Return token sequences as arrays, short ones first (the order in which transformers adds the biases)."""
    outside = sorted({token for tokens in biases for token in tokens if token >= facts.vocabulary})
    if outside:
        raise InputError(
            f"tokens {outside} of sequence_bias or bad_words_ids are outside the vocabulary of {facts.vocabulary}"
        )
    return [(xp.asarray(tokens), bias) for tokens, bias in sorted(biases.items(), key=lambda item: len(item[0]))]
