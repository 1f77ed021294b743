"""Check what scripts give a tokenizer: texts, tokens, ids in one row or in several."""

from typing import Any

import numpy as np
from jaxtyping import Int

from ovis2_ref.compat.tensors import to_array
from ovis2_ref.errors import InputError
from ovis2_ref.files.checks import shown
from ovis2_ref.runtime.arrays import to_host


def rows_of(sequences: Any) -> list[Any]:
    """Return the rows of ids in `sequences`, an array or lists of any lengths; a flat row is one."""
    rows = to_array(sequences)
    if not isinstance(rows, list | tuple):
        rows = to_host(rows)
        if rows.ndim == 0:
            raise InputError(f"rows of ids should be lists or an array, not {shown(sequences)}")
    rows = list(rows)
    flat = rows and not isinstance(rows[0], list | tuple) and getattr(rows[0], "ndim", 0) == 0
    return [rows] if flat else rows


def row_of(token_ids: Any) -> Int[np.ndarray, " tokens"]:
    """Return a row of ids on the host, one id being a row too. Raises `InputError` for anything but whole numbers in a row."""
    try:
        ids = np.atleast_1d(to_host(to_array(token_ids)))
    except (ValueError, TypeError) as error:
        raise InputError("decode takes ids in one row; use batch_decode for rows of several lengths") from error
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
        raise InputError(
            f"decode takes whole numbers in one row, not {ids.dtype} of shape {ids.shape}; use batch_decode for several rows"
        )
    return ids.astype(np.int64) if ids.size == 0 else ids


def vocabulary_ids(token_ids: Any) -> list[int]:
    """Return a row of ids, or one id, as a list. Raises `InputError` for numbers that no vocabulary has."""
    ids = row_of(token_ids)
    if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < 2**32:
        raise InputError(f"ids from {ids.min()} to {ids.max()} can't be decoded; a vocabulary's ids start at 0")
    return ids.tolist()


def text_list(text: Any) -> list[str]:
    """Return one text or several, as a list. Raises `InputError` if there is none, or for anything else."""
    texts = [text] if isinstance(text, str) else list(text) if isinstance(text, list | tuple) else []
    if not texts or not all(isinstance(one, str) for one in texts):
        raise InputError(f"text should be a prompt or a list of prompts, not {shown(text)}")
    return texts


def token_list(name: str, tokens: Any) -> list[Any]:
    """Return one token or several, texts or the library's `AddedToken`s, as a list. Raises `InputError` for anything else."""
    listed = list(tokens) if isinstance(tokens, list | tuple) else [tokens]
    if not all(isinstance(token, str) or type(token).__name__ == "AddedToken" for token in listed):
        raise InputError(f"{name} should be a token or a list of tokens, not {shown(tokens)}")
    return listed
