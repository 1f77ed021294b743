"""Convert a call's texts to encode, or ids to decode, to lists of rows."""

from typing import Any

import numpy as np

from ovis2_ref.compat.arguments import brief
from ovis2_ref.compat.tensors import to_array
from ovis2_ref.errors import InputError
from ovis2_ref.runtime.arrays import to_host


def rows_of(sequences: Any) -> list[Any]:
    """Return the rows of ids in `sequences`, an array or lists of any lengths; a flat row is one."""
    sequences = to_array(sequences)
    rows = list(sequences) if isinstance(sequences, list | tuple) else list(to_host(sequences))
    flat = rows and not isinstance(rows[0], list | tuple) and getattr(rows[0], "ndim", 0) == 0
    return [rows] if flat else rows


def row_of(token_ids: Any) -> np.ndarray:
    """Return a row of ids on the host, one id being a row too. Raises `InputError` for lists of unequal lengths."""
    try:
        return np.atleast_1d(to_host(to_array(token_ids)))
    except (ValueError, TypeError) as error:
        raise InputError("decode takes ids in one row; use batch_decode for rows of several lengths") from error


def text_list(text: Any) -> list[str]:
    """Return one text or several, as a list. Raises `InputError` if there is none, or for anything else."""
    texts = [text] if isinstance(text, str) else list(text) if isinstance(text, list | tuple) else []
    if not texts or not all(isinstance(one, str) for one in texts):
        raise InputError(f"text should be a prompt or a list of prompts, not {brief(text)}")
    return texts
