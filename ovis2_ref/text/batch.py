"""Rows of token ids of different lengths become one batch: cut, padded, masked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ovis2_ref.errors import InputError

NO_LIMIT = int(1e30)
"""The `model_max_length` of a tokenizer without one, as transformers writes it."""


class BatchFeature(dict[str, Any]):
    """What a processor returns: a dictionary for `model(**inputs)` whose entries are attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"there is no {name!r} in these inputs; there are {', '.join(self)}") from None


@dataclass(frozen=True)
class BatchRules:
    """How rows are cut and padded; names, defaults and meaning as in a transformers (5.23) tokenizer call.

    padding: False, True or "longest" (to the longest row), "max_length" (to `max_length`).
    truncation: None (cut if `max_length` is given and nothing is padded), False, True (cut to `max_length`).
    Where `max_length` is None, "max_length" and True mean the tokenizer's own longest row, nothing if it has none.
    return_tensors: "np" for int64 arrays (batch, tokens), None for lists.
    """

    padding: bool | str = False
    truncation: bool | str | None = None
    max_length: int | None = None
    padding_side: str = "right"
    truncation_side: str = "right"
    return_tensors: str | None = None

    def __post_init__(self) -> None:
        _choose("padding", self.padding, (False, True, "longest", "max_length", "do_not_pad"))
        _choose("truncation", self.truncation, (None, False, True, "longest_first", "only_first", "do_not_truncate"))
        _choose("padding_side", self.padding_side, ("left", "right"))
        _choose("truncation_side", self.truncation_side, ("left", "right"))
        if self.return_tensors not in ("np", None):
            raise InputError(
                f'return_tensors={self.return_tensors!r}: arrays here are NumPy\'s, without torch; use "np", or None for lists'
            )
        whole = isinstance(self.max_length, int) and not isinstance(self.max_length, bool)
        if self.max_length is not None and not (whole and self.max_length > 0):
            raise InputError(f"max_length={self.max_length!r} should be a whole number above 0")

    def cut_length(self, longest: int) -> int | None:
        """The length that rows are cut to, None for not at all; `longest` is the tokenizer's own limit."""
        by_max_length = self.truncation is None and self.max_length is not None and self.padding is False
        if not by_max_length and self.truncation in (None, False, "do_not_truncate"):
            return None
        return self._max_length(longest)

    def padded_length(self, rows: Sequence[Sequence[int]], longest: int) -> int | None:
        """The length that `rows` are padded to, None for not at all."""
        if self.padding in (False, "do_not_pad"):
            return None
        if self.padding == "max_length":
            return self._max_length(longest)
        return max(map(len, rows), default=0)

    def _max_length(self, longest: int) -> int | None:
        if self.max_length is not None:
            return self.max_length
        return longest if longest < NO_LIMIT else None


def collate(
    rows: Sequence[Sequence[int]],
    rules: BatchRules,
    *,
    pad_id: int | None,
    longest: int = NO_LIMIT,
    masks: Sequence[Sequence[int]] | None = None,
) -> BatchFeature:
    """`rows` of token ids as `input_ids` and `attention_mask` (1 at tokens, or as in `masks`; 0 at padding).

    Raises `InputError` if padding is asked for and there is no `pad_id`, or an array of rows of different lengths.
    """
    masks = [[1] * len(row) for row in rows] if masks is None else masks
    cut = rules.cut_length(longest)
    if cut is not None:
        keep = slice(None, cut) if rules.truncation_side == "right" else slice(-cut, None)
        rows, masks = [row[keep] for row in rows], [mask[keep] for mask in masks]
    length = rules.padded_length(rows, longest)
    if length is not None:
        if pad_id is None:
            raise InputError("padding was asked for, and this tokenizer has no pad_token; pass prompts of one length")
        rows = [_pad(row, length, pad_id, rules.padding_side) for row in rows]
        masks = [_pad(mask, length, 0, rules.padding_side) for mask in masks]
    if rules.return_tensors is None:
        return BatchFeature(input_ids=[*map(list, rows)], attention_mask=[*map(list, masks)])
    lengths = sorted({len(row) for row in rows})
    if len(lengths) > 1:
        raise InputError(f"these prompts have {lengths} tokens, and an array needs one length: pass padding=True")
    return BatchFeature(input_ids=np.array(rows, np.int64), attention_mask=np.array(masks, np.int64))


def _pad(row: Sequence[int], length: int, value: int, side: str) -> list[int]:
    padding = [value] * (length - len(row))
    return [*padding, *row] if side == "left" else [*row, *padding]


def _choose(name: str, value: object, allowed: tuple[object, ...]) -> None:
    if not any(value is choice or (isinstance(value, str) and value == choice) for choice in allowed):
        raise InputError(f"{name}={value!r} is not one of {', '.join(map(repr, allowed))}")
