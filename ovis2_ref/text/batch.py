"""Join rows of token ids of different lengths to one batch: cut, pad, mask."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ovis2_ref.compat.batch_feature import BatchFeature, check_return_tensors
from ovis2_ref.errors import InputError
from ovis2_ref.files.checks import LARGEST_WHOLE, choice, whole

__all__ = ["NO_LIMIT", "BatchFeature", "BatchRules", "collate"]

NO_LIMIT = int(1e30)
"""The `model_max_length` of a tokenizer without one, as transformers writes it."""
MOST_TOKENS = 2**24
"""Tokens of a padded batch, so that a wrong `max_length` can't exhaust memory."""

PADDING: dict[str, Any] = {
    "input_ids": None,  # the padding token
    "token_type_ids": 0,
    "attention_mask": 0,
    "special_tokens_mask": 1,
    "offset_mapping": (0, 0),
}
"""The entries that a batch may have for each token, in transformers' order, and their values at padding."""


@dataclass(frozen=True)
class BatchRules:
    """How rows are cut and padded; names, defaults and meaning as in a tokenizer call of transformers 5.24.

    padding: False, True or "longest" (to the longest row), "max_length" (to `max_length`).
    truncation: None (cut if `max_length` is given and nothing is padded), False, True (cut to `max_length`).
    Where `max_length` is None, "max_length" and True mean the tokenizer's own longest row, nothing if it has none.
    max_length: a whole number from 1 to 10**30. pad_to_multiple_of: padding continues to the next multiple.
    return_tensors: "np" for int64 arrays (batch, tokens), "pt" for tensors, None for lists.
    return_...: entries beside `input_ids`: `attention_mask`, `token_type_ids` (0 everywhere), `special_tokens_mask` (1 at
    padding), `offset_mapping` (a token's first and last character), `length` (of each padded row).
    """

    padding: bool | str = False
    truncation: bool | str | None = None
    max_length: Any = None
    padding_side: str = "right"
    truncation_side: str = "right"
    pad_to_multiple_of: Any = None
    return_tensors: str | None = None
    return_attention_mask: bool = True
    return_token_type_ids: bool = False
    return_special_tokens_mask: bool = False
    return_offsets_mapping: bool = False
    return_length: bool = False

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            choice(name, getattr(self, name), choices)
        object.__setattr__(self, "return_tensors", check_return_tensors(self.return_tensors))
        for name, most in {"max_length": NO_LIMIT, "pad_to_multiple_of": LARGEST_WHOLE}.items():
            if getattr(self, name) is not None:
                object.__setattr__(self, name, whole(name, getattr(self, name), 1, most))

    def cut_length(self, longest: int) -> int | None:
        """Return the length that rows are cut to, None for not at all; `longest` is the tokenizer's own limit."""
        by_max_length = self.truncation is None and self.max_length is not None and self.padding is False
        if not by_max_length and self.truncation in (None, False, "do_not_truncate"):
            return None
        return self._max_length(longest)

    def padded_length(self, rows: Sequence[Sequence[int]], longest: int) -> int | None:
        """Return the length that `rows` are padded to, None for not at all."""
        if self.padding in (False, "do_not_pad"):
            return None
        length = self._max_length(longest) if self.padding == "max_length" else max(map(len, rows), default=0)
        multiple = self.pad_to_multiple_of or 1
        return None if length is None else -(-length // multiple) * multiple

    def columns(self) -> list[str]:
        """Return the entries that the batch has for each token."""
        wanted = {
            "input_ids": True,
            "token_type_ids": self.return_token_type_ids,
            "attention_mask": self.return_attention_mask,
            "special_tokens_mask": self.return_special_tokens_mask,
            "offset_mapping": self.return_offsets_mapping,
        }
        return [name for name in PADDING if wanted[name]]

    def _max_length(self, longest: int) -> int | None:
        if self.max_length is not None:
            return self.max_length
        return longest if longest < NO_LIMIT else None


SIDES = ("left", "right")
YES_NO = (False, True)
CHOICES: dict[str, tuple[Any, ...]] = {
    "padding": (False, True, "longest", "max_length", "do_not_pad"),
    "truncation": (None, False, True, "longest_first", "only_first", "do_not_truncate"),
    "padding_side": SIDES,
    "truncation_side": SIDES,
    **dict.fromkeys(("return_attention_mask", "return_token_type_ids", "return_special_tokens_mask"), YES_NO),
    **dict.fromkeys(("return_offsets_mapping", "return_length"), YES_NO),
}
"""The values that a rule may have."""


def collate(
    rows: Sequence[Sequence[int]],
    rules: BatchRules,
    *,
    pad_id: int | None,
    longest: int = NO_LIMIT,
    masks: Sequence[Sequence[int]] | None = None,
    offsets: Sequence[Sequence[tuple[int, int]]] | None = None,
) -> BatchFeature:
    """Return `rows` of token ids as a batch, according to `rules`.

    `attention_mask` is 1 at tokens, or as in `masks`, and 0 at padding. `offsets`: the characters of each token.
    Raises `InputError` if padding is asked for and there is no `pad_id`, for more than `MOST_TOKENS`, or if an array is asked
    for and rows have different lengths.
    """
    values: dict[str, Any] = {
        "input_ids": rows,
        "token_type_ids": _filled(rows, 0),
        "attention_mask": _filled(rows, 1) if masks is None else masks,
        "special_tokens_mask": _filled(rows, 0),
        "offset_mapping": _filled(rows, (0, 0)) if offsets is None else offsets,
    }
    batch: dict[str, Any] = {name: values[name] for name in rules.columns()}
    cut = rules.cut_length(longest)
    if cut is not None:
        keep = slice(None, cut) if rules.truncation_side == "right" else slice(-cut, None)
        batch = {name: [row[keep] for row in column] for name, column in batch.items()}
    length = rules.padded_length(batch["input_ids"], longest)
    if length is not None:
        if pad_id is None:
            raise InputError("padding was asked for, and this tokenizer has no pad_token; pass prompts of one length")
        if length * len(rows) > MOST_TOKENS:
            raise InputError(
                f"{len(rows)} prompts padded to {length} tokens are more than {MOST_TOKENS} tokens; give a smaller max_length"
            )
        padding = PADDING | {"input_ids": pad_id}
        batch = {
            name: [_pad(row, length, padding[name], rules.padding_side) for row in column]
            for name, column in batch.items()
        }
    lengths = [len(row) for row in batch["input_ids"]]
    if rules.return_tensors is not None and len(set(lengths)) > 1:
        raise InputError(
            f"these prompts have {sorted(set(lengths))} tokens, and an array needs one length: pass padding=True"
        )
    batch = {name: [list(row) for row in column] for name, column in batch.items()}
    if rules.return_length:
        batch["length"] = lengths
    return BatchFeature(batch).convert_to_tensors(rules.return_tensors)


def _filled(rows: Sequence[Sequence[int]], value: Any) -> list[list[Any]]:
    return [[value] * len(row) for row in rows]


def _pad(row: Sequence[Any], length: int, value: Any, side: str) -> list[Any]:
    padding = [value] * (length - len(row))
    return [*padding, *row] if side == "left" else [*row, *padding]
