"""The options of `generate`, with transformers' names, defaults and meaning."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ovis2_ref.errors import InputError
from ovis2_ref.files.checks import is_number, is_whole, shown
from ovis2_ref.files.records import bounded, check_fields, one_of

MOST_CONTEXT = 2**17
"""Tokens of one text, Qwen2.5's longest context: a limit, so that a corrupt file can't exhaust memory."""
TINY_FACTOR, HUGE_FACTOR = 1e-30, 1e30
"""Bounds of a number that scores are multiplied or divided by: beyond these float32 overflows."""
MOST_LENGTH_PENALTY = 50
"""Largest exponent of a length: `MOST_CONTEXT` to this power still fits float64."""


@dataclass(frozen=True)
class GenerationSettings:
    """The settings of one call. Names, defaults and meaning are those of transformers' `GenerationConfig` (5.24).

    A whole number is accepted where transformers requires a float. Sampling options are checked and used only when sampling.
    """

    # How long an answer may be, in tokens.
    max_new_tokens: int | None = bounded(None, 1, MOST_CONTEXT)
    """Tokens that are made at most. Overrides `max_length`; with neither, 20 are made."""
    max_length: int | None = bounded(None, 1, MOST_CONTEXT)
    """Tokens of prompt and answer together at most."""
    min_new_tokens: int | None = bounded(None, 0, MOST_CONTEXT)
    """Tokens before which no end token is chosen. Overrides `min_length`."""
    min_length: int = bounded(0, 0, MOST_CONTEXT)
    """Tokens of prompt and answer together before which no end token is chosen."""
    eos_token_id: int | list[int] | None = None
    """The tokens that end an answer."""
    pad_token_id: int | None = bounded(None, 0)
    """The token that fills a row that has ended; the first end token if it is None."""
    stop_strings: str | list[str] | None = None
    """An answer ends where one of them is complete; the call needs the tokenizer then."""
    max_time: float | None = bounded(None, 0, HUGE_FACTOR)
    """Seconds after which no more tokens are made."""

    # How the next token is chosen.
    do_sample: bool = False
    """Draw tokens by their probabilities; else take the likeliest (greedy decoding, beam search)."""
    num_beams: int = bounded(1, 1, 1024)
    """Texts of each prompt that are continued side by side; 1 is no beam search."""
    num_return_sequences: int = bounded(1, 1, 2**16)
    """Answers of each prompt: draws, or the best beams."""
    early_stopping: bool | str = one_of(False, True, False, "never")
    """When a beam search ends. True: once `num_beams` texts have ended. False: once no running beam, at its length, beats them.
    "never": once none could beat them at any length."""
    length_penalty: float = bounded(1.0, -MOST_LENGTH_PENALTY, MOST_LENGTH_PENALTY)
    """The score of an ended beam is divided by length^length_penalty: above 0 favours long texts."""

    # How the scores are computed.
    use_cache: bool = True
    """Keep keys and values of the tokens so far; without them every step reads the whole text again."""
    cache_implementation: str | None = one_of(None, None, "dynamic", "static")
    """How steps are computed. "dynamic": one by one. "static": all alike, recorded once and replayed on a GPU; not for beams or
    sliding windows. None: "static" on a GPU if the answer may be long enough to pay for the recording, else "dynamic"."""

    # Sampling: which tokens may be drawn, and how likely.
    temperature: float = bounded(1.0, TINY_FACTOR, HUGE_FACTOR, only_if="do_sample")
    """Scores are divided by it: below 1 sharpens the distribution, above 1 flattens it."""
    top_k: int = bounded(50, 0, only_if="do_sample")
    """Only the k likeliest tokens; 0 for all."""
    top_p: float = bounded(1.0, 0, HUGE_FACTOR, only_if="do_sample")
    """Only the likeliest tokens that have this probability together; 1 for all."""
    min_p: float | None = bounded(None, 0, 1, only_if="do_sample")
    """Only tokens of at least this part of the highest probability."""
    typical_p: float = bounded(1.0, TINY_FACTOR, HUGE_FACTOR, only_if="do_sample")
    """Only the tokens whose surprise is nearest to the entropy, up to this probability; 1 for all."""
    epsilon_cutoff: float = bounded(0.0, -HUGE_FACTOR, HUGE_FACTOR, only_if="do_sample")
    """Only tokens of at least this probability; 0 for all."""
    eta_cutoff: float = bounded(0.0, -HUGE_FACTOR, HUGE_FACTOR, only_if="do_sample")
    """Only tokens of at least this probability, or of one that falls with the entropy; 0 for all."""

    # Penalties: what changes the scores of tokens, sampled or not.
    repetition_penalty: float = bounded(1.0, TINY_FACTOR, HUGE_FACTOR)
    """Above 1 makes tokens of the text so far less likely."""
    encoder_repetition_penalty: float = bounded(1.0, TINY_FACTOR, HUGE_FACTOR)
    """Above 1 makes tokens of the prompt more likely."""
    no_repeat_ngram_size: int = bounded(0, 0, MOST_CONTEXT)
    """No run of so many tokens comes twice; 0 for no such rule."""
    encoder_no_repeat_ngram_size: int = bounded(0, 0, MOST_CONTEXT)
    """No run of so many tokens of the prompt comes in the answer; 0 for no such rule."""
    exponential_decay_length_penalty: tuple[int, float] | list[Any] | None = None
    """(start, factor): from so many new tokens on the score of the end grows with factor^steps."""
    sequence_bias: list[Any] | dict[Any, Any] | None = None
    """Pairs [token ids, bias]; or a dictionary from tuples of token ids: added to the score of what completes them."""
    renormalize_logits: bool = False
    """Make the scores log-probabilities after all changes."""
    remove_invalid_values: bool = False
    """Replace NaN and infinities among the scores."""

    # Tokens that may not come, or have to.
    bad_words_ids: list[Any] | None = None
    """Lists of token ids that never come."""
    suppress_tokens: list[int] | None = None
    """Tokens that never come."""
    begin_suppress_tokens: list[int] | None = None
    """Tokens that don't come first."""
    forced_eos_token_id: int | list[int] | None = None
    """The tokens one of which comes last, where the greatest length is reached."""

    # What a call returns.
    return_dict_in_generate: bool = False
    """Return a record (`GenerateOutput`) with the values that the next four options select; without it they do nothing."""
    output_scores: bool = False
    """The scores that each token was chosen by."""
    output_logits: bool = False
    """The model's own scores."""
    output_attentions: bool = False
    """Each layer's attention weights, of every step."""
    output_hidden_states: bool = False
    """The embeddings and each layer's output, of every step."""

    def __post_init__(self) -> None:
        if self.do_sample is True and is_number(self.temperature) and self.temperature == 0:
            raise InputError("temperature=0 can't divide the scores; for greedy decoding use do_sample=False")
        check_fields(self)
        self._expect(
            self.num_beams == 1 or self.cache_implementation != "static",  # beams are reordered
            "cache_implementation",
            'None or "dynamic" in a beam search',
        )
        self._expect(
            self.num_return_sequences == 1 or self.do_sample or self.num_return_sequences <= self.num_beams,
            "num_return_sequences",
            f"1, or at most num_beams={self.num_beams}; or sample, with do_sample=True",
        )
        self._expect(
            self.num_beams == 1 or self.num_return_sequences <= self.num_beams,
            "num_return_sequences",
            f"at most num_beams={self.num_beams}",
        )
        strings = [self.stop_strings] if isinstance(self.stop_strings, str) else self.stop_strings
        texts = isinstance(strings, list | tuple) and bool(strings) and all(isinstance(s, str) and s for s in strings)
        self._expect(strings is None or texts, "stop_strings", "a text or a list of texts, none of them empty")
        self._check_token_lists()

    def _check_token_lists(self) -> None:
        for name in ("eos_token_id", "forced_eos_token_id"):
            value = getattr(self, name)
            self._expect(value is None or _is_id(value) or _are_ids(value), name, "a token id or a list of them")
        for name in ("suppress_tokens", "begin_suppress_tokens"):
            value = getattr(self, name)
            self._expect(value is None or _are_ids(value), name, "a list of token ids")
        ends = self.forced_eos_token_id
        forced: set[Any] = set(ends) if isinstance(ends, list | tuple) else {ends}
        self._expect(not forced <= set(self.suppress_tokens or []), "forced_eos_token_id", "apart from suppress_tokens")
        words = self.bad_words_ids
        lists = isinstance(words, list) and len(words) > 0 and all(isinstance(w, list) and _are_ids(w) for w in words)
        self._expect(words is None or lists, "bad_words_ids", "a list of lists of token ids, none of them empty")
        try:
            biases = self.biases()
        except (TypeError, ValueError):
            self._expect(False, "sequence_bias", "a list of pairs [list of token ids, number]")
        else:
            well = all(_are_ids(tokens) and _is_bias(bias) for tokens, bias in biases.items())
            self._expect(well, "sequence_bias", "a list of pairs [list of token ids, number]")
        decay = self.exponential_decay_length_penalty
        self._expect(decay is None or _is_decay(decay), "exponential_decay_length_penalty", "a pair (start, factor)")

    def _expect(self, holds: Any, name: str, wanted: str) -> None:
        if not holds:
            raise InputError(f"{name}={shown(getattr(self, name))} should be {wanted}")

    def biases(self) -> dict[tuple[int, ...], float]:
        """Return `sequence_bias` as token sequence -> bias."""
        pairs = self.sequence_bias.items() if isinstance(self.sequence_bias, dict) else self.sequence_bias or []
        return {tuple(tokens): bias for tokens, bias in pairs}

    def outputs(self) -> list[str]:
        """Return what to keep of every step: "scores", "logits", "attentions", "hidden_states"."""
        names = ("scores", "logits", "attentions", "hidden_states")
        return [name for name in names if self.return_dict_in_generate and getattr(self, f"output_{name}")]

    def eos_tokens(self) -> list[int]:
        """Return the tokens that end an answer."""
        if self.eos_token_id is None:
            return []
        return [self.eos_token_id] if isinstance(self.eos_token_id, int | np.integer) else list(self.eos_token_id)

    def pad_token(self) -> int | None:
        """Return the token that fills an ended answer: `pad_token_id`, or the first end token without one."""
        eos = self.eos_tokens()
        return eos[0] if self.pad_token_id is None and eos else self.pad_token_id

    def new_tokens(self, prompt_tokens: int) -> int:
        """Return how many tokens are made at most after a prompt of that length. Raises `InputError` if `max_length` leaves no
        room.
        """
        if self.max_new_tokens is not None:
            return self.max_new_tokens
        if self.max_length is None:
            return 20
        if self.max_length <= prompt_tokens:
            raise InputError(
                f"max_length={self.max_length} leaves no room after a prompt of {prompt_tokens} tokens; give max_new_tokens"
            )
        return self.max_length - prompt_tokens

    def least_new_tokens(self, prompt_tokens: int) -> int:
        """Return how many tokens are made at least after a prompt of that length."""
        return max(self.min_length - prompt_tokens, 0) if self.min_new_tokens is None else self.min_new_tokens


DEFAULTS = {f.name: f.default for f in fields(GenerationSettings)}
"""Each option and the value that it has without being set."""


def _is_bias(value: Any) -> bool:
    return is_number(value) or (isinstance(value, float | np.floating) and bool(np.isinf(value)))


def _is_decay(value: Any) -> bool:
    pair = isinstance(value, list | tuple) and len(value) == 2
    return (
        pair
        and is_whole(value[0])
        and abs(value[0]) <= MOST_CONTEXT
        and is_number(value[1])
        and 0 < value[1] <= HUGE_FACTOR
    )


def _is_id(value: Any) -> bool:
    return is_whole(value) and 0 <= int(value) < 2**31


def _are_ids(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(map(_is_id, value))
