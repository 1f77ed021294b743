"""The options of `generate`, with transformers' names, defaults and precedence.

A value in the call overrides the checkpoint's `generation_config.json`, which overrides the default; None in the call switches
an option off, None in the checkpoint means the default. So a checkpoint's `repetition_penalty` applies to greedy decoding, too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from ovis2_ref.compat.arguments import active, check_names, given
from ovis2_ref.compat.decoding import ASSISTED, UNSUPPORTED
from ovis2_ref.compat.idle import GENERATE
from ovis2_ref.errors import InputError
from ovis2_ref.files.checks import choice, flag, is_number, is_whole, number, shown, whole
from ovis2_ref.generation.bounds import LARGEST, MOST_TOKENS, NUMBERS, SMALLEST, WHOLE

CHECKPOINT = "the checkpoint's generation_config.json"
FLAGS = (
    *("do_sample", "use_cache", "remove_invalid_values", "renormalize_logits", "return_dict_in_generate"),
    *("output_scores", "output_logits", "output_attentions", "output_hidden_states"),
)
"""Options that are True or False."""


@dataclass(frozen=True)
class GenerationSettings:
    """The settings of one call. Names, defaults and meaning are those of transformers' `GenerationConfig` (5.24).

    A whole number is accepted where transformers requires a float. Sampling options are checked and used only when sampling.
    """

    max_new_tokens: int | None = None
    """Overrides `max_length`; with neither, 20 tokens are made."""
    max_length: int | None = None
    """Tokens of prompt and answer together."""
    min_new_tokens: int | None = None
    """Overrides `min_length`."""
    min_length: int = 0
    do_sample: bool = False
    num_beams: int = 1
    num_return_sequences: int = 1
    early_stopping: bool | str = False
    length_penalty: float = 1.0
    use_cache: bool = True
    cache_implementation: str | None = None
    """How steps are computed. "dynamic": one by one. "static": all alike, recorded once and replayed on a GPU; not for beams or
    sliding windows. None: "static" on a GPU if the answer may be long enough to pay for the recording, else "dynamic"."""
    temperature: float = 1.0
    top_k: int = 50
    top_p: float = 1.0
    min_p: float | None = None
    typical_p: float = 1.0
    epsilon_cutoff: float = 0.0
    eta_cutoff: float = 0.0
    repetition_penalty: float = 1.0
    encoder_repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    encoder_no_repeat_ngram_size: int = 0
    sequence_bias: list[Any] | dict[Any, Any] | None = None
    """Pairs [token ids, bias]; or a dictionary from tuples of token ids."""
    bad_words_ids: list[Any] | None = None
    """Lists of token ids."""
    suppress_tokens: list[int] | None = None
    begin_suppress_tokens: list[int] | None = None
    forced_eos_token_id: int | list[int] | None = None
    exponential_decay_length_penalty: tuple[int, float] | list[Any] | None = None
    remove_invalid_values: bool = False
    renormalize_logits: bool = False
    eos_token_id: int | list[int] | None = None
    pad_token_id: int | None = None

    max_time: float | None = None
    """Seconds after which no more tokens are made."""
    stop_strings: str | list[str] | None = None
    """An answer ends where one of them is complete; the call needs the tokenizer then."""
    return_dict_in_generate: bool = False
    """Return a record (`GenerateOutput`) with the values that the next four options select; without it they do nothing."""
    output_scores: bool = False
    output_logits: bool = False
    output_attentions: bool = False
    output_hidden_states: bool = False

    @classmethod
    def merge(
        cls, checkpoint: Mapping[str, Any], call: Mapping[str, Any], config: Mapping[str, Any] | None = None
    ) -> Self:
        """Return the settings of one call: `call` overrides the argument generation_config, `config`, which overrides the
        `checkpoint`'s.

        Raises `InputError` for an argument that doesn't exist, for an option that changes the answer and isn't supported, and for
        values that can't be used.
        """
        known = DEFAULTS
        config = given(active("generation_config", config or {}, GENERATE))
        for where, values in ((CHECKPOINT, checkpoint), ("generation_config", config), ("generate", call)):
            for name, idle in UNSUPPORTED.items():
                if values.get(name) not in (None, idle):
                    raise InputError(
                        f"{where} sets {name}={shown(values[name])}, which is not supported here; take it out"
                    )
        call = {name: value for name, value in call.items() if name not in UNSUPPORTED and name not in ASSISTED}
        check_names("generate", call, known)
        taken = set(known) - {"cache_implementation"}  # options of how to compute, not what: only the call sets them
        values = {name: value for name, value in checkpoint.items() if name in taken and value is not None}
        values |= {name: value for name, value in config.items() if name in known}
        off = {"top_k": 0}
        values |= {name: off.get(name, known[name]) if value is None else value for name, value in call.items()}
        return cls(**values)

    def __post_init__(self) -> None:
        for name, (least, most) in WHOLE.items():
            value = getattr(self, name)
            if value is not None or DEFAULTS[name] is not None:
                self._set(name, whole(name, value, least, most))
        for name, (smallest, largest) in NUMBERS.items():
            self._set(name, number(name, getattr(self, name), smallest, largest))
        for name in FLAGS:
            flag(name, getattr(self, name))
        choice("early_stopping", self.early_stopping, (True, False, "never"))
        caches = (None, "dynamic") if self.num_beams > 1 else (None, "dynamic", "static")  # beams are reordered
        choice("cache_implementation", self.cache_implementation, caches)
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
        if self.max_time is not None:
            number("max_time", self.max_time, 0, LARGEST)
        strings = [self.stop_strings] if isinstance(self.stop_strings, str) else self.stop_strings
        texts = isinstance(strings, list | tuple) and bool(strings) and all(isinstance(s, str) and s for s in strings)
        self._expect(strings is None or texts, "stop_strings", "a text or a list of texts, none of them empty")
        self._check_token_lists()
        if self.do_sample:
            self._check_sampling()

    def _check_sampling(self) -> None:
        hint = (
            "; for greedy decoding use do_sample=False" if is_number(self.temperature) and self.temperature == 0 else ""
        )
        self._expect(
            is_number(self.temperature) and SMALLEST <= self.temperature <= LARGEST,
            "temperature",
            f"a number from {SMALLEST:g} to {LARGEST:g}{hint}",
        )
        whole("top_k", self.top_k)
        number("top_p", self.top_p, 0, LARGEST)
        if self.min_p is not None:
            number("min_p", self.min_p, 0, 1)
        number("typical_p", self.typical_p, SMALLEST, LARGEST)
        for name in ("epsilon_cutoff", "eta_cutoff"):
            number(name, getattr(self, name), -LARGEST, LARGEST)

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

    def _set(self, name: str, value: float) -> None:
        object.__setattr__(self, name, value)

    def biases(self) -> dict[tuple[int, ...], float]:
        """Return `sequence_bias` as token sequence -> bias."""
        pairs = self.sequence_bias.items() if isinstance(self.sequence_bias, dict) else self.sequence_bias or []
        return {tuple(tokens): bias for tokens, bias in pairs}

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


def _is_bias(value: Any) -> bool:
    return is_number(value) or (isinstance(value, float | np.floating) and bool(np.isinf(value)))


def _is_decay(value: Any) -> bool:
    pair = isinstance(value, list | tuple) and len(value) == 2
    return (
        pair and is_whole(value[0]) and abs(value[0]) <= MOST_TOKENS and is_number(value[1]) and 0 < value[1] <= LARGEST
    )


def _is_id(value: Any) -> bool:
    return is_whole(value) and 0 <= int(value) < 2**31


def _are_ids(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(map(_is_id, value))
