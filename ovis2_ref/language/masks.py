"""Who may look at whom: the attention mask, as a number added to the scores, 0 where a query sees a key."""

import ml_dtypes
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from ovis2_ref.arrays import Array, array_module
from ovis2_ref.errors import InputError


def attention_mask(
    mask: Shaped[Array, "..."] | None,
    position_ids: Int[Array, "#batch tokens"],
    first: int,
    seen: int,
    window: int | None,
    dtype: np.dtype,
) -> Float[Array, "#batch kv_heads group tokens keys"] | None:
    """The mask of `tokens` queries that come after `seen` tokens, over the keys from `first` on; None if all are seen."""
    xp = array_module(position_ids)
    tokens = position_ids.shape[-1]
    if mask is None and tokens == 1:
        return None
    queries = xp.arange(seen, seen + tokens)[:, None]
    keys = xp.arange(first, seen + tokens)
    allowed = (keys <= queries)[None]
    if window is not None:
        allowed = allowed & (keys > queries - window)
    if mask is not None:
        allowed = allowed & (mask[:, None, first:] != 0)
    blocked = ml_dtypes.finfo(dtype).min
    return xp.where(allowed, dtype.type(0), blocked)[:, None, None]
