"""Join rows of token ids of different lengths to one batch: cut, pad, mask."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ovis2_ref.errors import InputError
from ovis2_ref.files.records import bounded, check_fields, one_of

NO_LIMIT = int(1e30)
"""The `model_max_length` of a tokenizer without one, as transformers writes it."""
BATCH_LIMIT = 2**24
"""Tokens of a padded batch, so that a wrong `max_length` can't exhaust memory."""

PADDING: dict[str, Any] = {
    "input_ids": None,  # the padding token
    "token_type_ids": 0,
    "attention_mask": 0,
    "special_tokens_mask": 1,
    "offset_mapping": (0, 0),
}
"""The entries that a batch may have for each token, in transformers' order, and their values at padding."""

SIDES = ("left", "right")


@dataclass(frozen=True)
class BatchRules:
    """How rows are cut and padded; names, defaults and meaning as in a tokenizer call of transformers 5.24."""

    # What is done to the rows.
    padding: bool | str = one_of(False, False, True, "longest", "max_length", "do_not_pad")
    """True or "longest": to the longest row. "max_length": to `max_length`."""
    truncation: bool | str | None = one_of(None, False, True, "longest_first", "only_first", "do_not_truncate")
    """True: cut to `max_length`. None: the same if `max_length` is given and nothing is padded."""
    max_length: int | None = bounded(None, 1, NO_LIMIT)
    """Tokens of a row; None for the tokenizer's own longest row, nothing if it has none."""
    pad_to_multiple_of: int | None = bounded(None)
    """Padding continues to the next multiple."""
    padding_side: str = one_of("right", *SIDES)
    """Where padding goes."""
    truncation_side: str = one_of("right", *SIDES)
    """Where a row is cut."""

    # What the batch holds beside `input_ids`.
    return_tensors: str | None = one_of(None, "np", "pt")
    """What kind of rows: "np" for int64 arrays (batch, tokens), "pt" for tensors, None for lists."""
    return_attention_mask: bool = True
    """`attention_mask`: 0 at padding."""
    return_token_type_ids: bool = False
    """`token_type_ids`: 0 everywhere."""
    return_special_tokens_mask: bool = False
    """`special_tokens_mask`: 1 at padding."""
    return_offsets_mapping: bool = False
    """`offset_mapping`: a token's first and last character."""
    return_length: bool = False
    """`length` of each padded row."""

    def __post_init__(self) -> None:
        check_fields(self)

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


def collate(
    rows: Sequence[Sequence[int]],
    rules: BatchRules,
    *,
    pad_id: int | None,
    longest: int = NO_LIMIT,
    masks: Sequence[Sequence[int]] | None = None,
    offsets: Sequence[Sequence[tuple[int, int]]] | None = None,
) -> dict[str, Any]:
    """Return `rows` of token ids as a batch of lists, according to `rules`.

    `attention_mask` is 1 at tokens, or as in `masks`, and 0 at padding. `offsets`: the characters of each token.
    Raises `InputError` if padding is asked for and there is no `pad_id`, for more than `BATCH_LIMIT`, or if an array is asked
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
        if length * len(rows) > BATCH_LIMIT:
            raise InputError(
                f"{len(rows)} prompts padded to {length} tokens are more than {BATCH_LIMIT} tokens; give a smaller max_length"
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
    return batch


def _filled(rows: Sequence[Sequence[int]], value: Any) -> list[list[Any]]:
    return [[value] * len(row) for row in rows]


def _pad(row: Sequence[Any], length: int, value: Any, side: str) -> list[Any]:
    padding = [value] * (length - len(row))
    return [*padding, *row] if side == "left" else [*row, *padding]
