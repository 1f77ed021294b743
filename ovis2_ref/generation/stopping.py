"""Decide when an answer is complete: by a string, a time, or the caller's functions."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from ovis2_ref.errors import InputError
from ovis2_ref.files.checks import shown
from ovis2_ref.generation.settings import GenerationSettings
from ovis2_ref.runtime.arrays import Array, to_host

Criterion = Callable[[Array, Any], Any]
"""(ids so far (rows, tokens), the scores of every step so far or None) -> one truth value, or one for each row."""


def stopping_criteria(settings: GenerationSettings, criteria: Any = None, tokenizer: Any = None) -> list[Criterion]:
    """Return the criteria of one call, beside end tokens and the greatest length.

    Raises `InputError` for `stop_strings` without `tokenizer`, or a criterion that is no function.
    """
    found: list[Criterion] = functions(criteria, "stopping_criteria")
    if settings.max_time is not None:
        end = time.monotonic() + settings.max_time
        found.append(lambda ids, scores: time.monotonic() > end)
    if settings.stop_strings is not None:
        if tokenizer is None:
            raise InputError("stop_strings need the tokenizer: generate(..., tokenizer=processor.tokenizer)")
        strings = [settings.stop_strings] if isinstance(settings.stop_strings, str) else settings.stop_strings
        found.append(lambda ids, scores: ends_with(to_host(ids), strings, tokenizer))
    return found


def stopped(criteria: Sequence[Criterion], ids: Int[Array, "rows tokens"], scores: Any) -> Bool[np.ndarray, " rows"]:
    """Return True for the rows that any criterion ends."""
    rows = np.zeros(len(ids), dtype=bool)
    for criterion in criteria:
        rows |= _truth(criterion(ids, scores), len(ids))
    return rows


def _truth(answer: Any, rows: int) -> Bool[np.ndarray, " _"]:
    """Return what a criterion answered as an array. Raises `InputError` for anything but a truth value, or one for each row."""
    try:
        values = np.asarray(to_host(answer))
    except ValueError:  # lists of different lengths
        values = np.empty(0)
    if values.dtype.kind not in "biu" or values.shape not in ((), (1,), (rows,)):
        raise InputError(f"a stopping criterion returned {shown(answer)}; return True or False, or one for each row")
    return values.astype(bool).reshape(-1)


def ends_with(ids: Int[np.ndarray, "rows tokens"], strings: Sequence[str], tokenizer: Any) -> Bool[np.ndarray, " rows"]:
    """Return True for a row whose last token completes one of `strings`; text of that token may follow it.

    transformers' `StopStringCriteria`. A string may have begun in the prompt.
    """
    last = max(map(len, strings)) * 4 + 1  # a character is at most 4 bytes, a token at least one
    texts = [[tokenizer.decode(row[-last:end]) for end in (-1, None)] for row in ids]
    return np.array([any(_completes(before, after, string) for string in strings) for before, after in texts])


def _completes(before: str, after: str, string: str) -> bool:
    """Return whether an occurrence of `string` in the text `after` reaches beyond the text `before`, which it continues."""
    common = 0
    while common < min(len(before), len(after)) and before[common] == after[common]:
        common += 1  # the last characters of `before` may be half of what is a character in `after`
    return string in after[max(common - len(string) + 1, 0) :]


def functions(given: Any, name: str) -> list[Any]:
    """Return the functions in the argument `name`: a list, one, or None. Raises `InputError` for anything else."""
    listed = [] if given is None else list(given) if isinstance(given, list | tuple) else [given]
    for function in listed:
        if not callable(function):
            raise InputError(f"{name} should be a list of functions, not {shown(function)}")
    return listed
