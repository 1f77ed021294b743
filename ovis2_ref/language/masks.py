"""The attention mask: a number that is added to every score, 0 where the query sees the key.

Elsewhere it is the lowest number of the type, not -infinity (as in transformers' "eager" attention). So a query that sees no key,
such as one at padding on the left, gets equal weights on all keys instead of NaN.
"""

import ml_dtypes
import numpy as np
from jaxtyping import Float, Int, Shaped

from ovis2_ref.config import Qwen2Config
from ovis2_ref.errors import InputError
from ovis2_ref.runtime.arrays import Array


def layer_masks(
    mask: Shaped[Array, "..."] | None,
    batch: int,
    position_ids: Int[Array, "_ tokens"],
    seen: int | None,
    config: Qwen2Config,
    dtype: np.dtype,
) -> dict[str, Float[Array, "_ _ tokens _"] | None]:
    """Return the mask of each kind of layer, for the queries at `position_ids` that follow `seen` tokens (None: no cache).

    `mask` is the caller's: (batch, keys), 0 at padding; or a whole mask (batch or 1, heads or 1, tokens, keys), which replaces
    every rule. Raises `InputError` for another shape. A result is (batch or 1, heads or 1, tokens, keys), or None for no mask.
    """
    tokens = position_ids.shape[1]
    keys = tokens + (seen or 0)
    if mask is not None:
        _check(mask, batch, tokens, keys, config.num_attention_heads)
    masks = {}
    for kind in dict.fromkeys(config.layer_types):
        window = config.sliding_window if kind == "sliding_attention" else None
        first = first_key(seen or 0, window)
        if mask is not None and mask.ndim == 4:
            masks[kind] = given_mask(mask[..., first:], dtype)
        else:
            masks[kind] = causal_mask(position_ids, seen, first, window, mask, dtype)
    return masks


def first_key(seen: int, window: int | None) -> int:
    """Return the first key that any query after `seen` tokens sees: all earlier ones have left its window."""
    return 0 if window is None else max(seen - window + 1, 0)


def causal_mask(
    position_ids: Int[Array, "_ tokens"],
    seen: int | None,
    first: int,
    window: int | None,
    padding: Shaped[Array, "batch all_keys"] | None,
    dtype: np.dtype,
) -> Float[Array, "_ 1 tokens keys"] | None:
    """Return the mask over the keys from number `first` on; None if every query sees every key.

    A query sees the keys up to itself, of these the last `window`, and of these those whose `padding` isn't 0.
    Without a cache and without `padding`, a jump in the positions starts another text, as in transformers; a query does not see
    the keys of another text.
    """
    tokens, start = position_ids.shape[1], seen or 0
    if padding is None and tokens == 1:
        return None
    keys = np.arange(start + tokens, like=position_ids)
    queries, keys = keys[start:, None], keys[first:]
    allowed = (keys <= queries)[None]
    if window is not None:
        allowed = allowed & (keys > queries - window)
    if padding is not None:
        allowed = allowed & (padding[:, None, first:] != 0)
    elif seen is None:
        jumps = position_ids[:, 1:] != position_ids[:, :-1] + 1
        text = np.cumsum(np.concatenate([np.zeros_like(jumps[:, :1]), jumps], axis=1), axis=1)
        allowed = allowed & (text[:, :, None] == text[:, None, :])
    return _blocked(allowed, dtype)[:, None]


def given_mask(mask: Shaped[Array, "_ _ tokens keys"], dtype: np.dtype) -> Float[Array, "_ _ tokens keys"]:
    """Return a whole mask as numbers to add: numbers as they are, true as 0 and false as the lowest number.

    transformers' default attention, "sdpa", does the same; its "eager" attention adds true and false as 1 and 0.
    """
    return _blocked(mask, dtype) if mask.dtype == np.bool_ else mask


def _blocked(allowed: Array, dtype: np.dtype) -> Array:
    """Return 0 where `allowed` is true, the lowest number of `dtype` elsewhere."""
    mask = np.where(allowed, dtype.type(0), dtype.type(ml_dtypes.finfo(dtype).min))
    return mask.astype(dtype, copy=False)  # CuPy 14 has no `where` of bfloat16, and makes float32


def _check(mask: Array, batch: int, tokens: int, keys: int, heads: int) -> None:
    if mask.ndim == 4:
        fits = mask.shape[0] in (1, batch) and mask.shape[1] in (1, heads) and mask.shape[2:] == (tokens, keys)
        fits = fits and (mask.dtype == np.bool_ or mask.dtype.kind not in "iu")
    else:
        fits = mask.shape == (batch, keys)
    if not fits:
        raise InputError(
            f"attention_mask is {mask.dtype} of shape {mask.shape}; it should be (batch, past + new tokens) = "
            f"({batch}, {keys}), or booleans or numbers to add of shape ({batch}, 1 or {heads}, {tokens}, {keys})"
        )
