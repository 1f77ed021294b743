"""Rotary position embedding (Su et al., 2021): a pair of numbers in every query and key is turned by an angle that grows
with the position, so that a product of the two only knows how far apart they are.

The kinds of scaling are those of transformers 5.23's `modeling_rope_utils`.
"""

from types import ModuleType

import numpy as np
from jaxtyping import Float, Int

from ovis2_ref.arrays import Array, array_module, sum_dtype
from ovis2_ref.config import Qwen2Config


def inverse_frequencies(config: Qwen2Config, length: int, xp: ModuleType) -> tuple[Float[Array, " pairs"], float]:
    """theta^(-2 i / head_dim) for pair i, and the factor on cos and sin."""
    rope = config.rope_parameters
    exponents = xp.arange(0, config.head_dim, 2, dtype=np.float32) / np.float32(config.head_dim)
    powers = xp.power(np.float64(rope["rope_theta"]), exponents.astype(np.float64)).astype(np.float32)
    return 1 / powers, 1.0


def rotary_tables(
    position_ids: Int[Array, "batch tokens"], config: Qwen2Config, dtype: np.dtype
) -> tuple[Float[Array, "batch tokens pairs"], Float[Array, "batch tokens pairs"]]:
    """cos and sin of position * inverse frequency, rounded to `dtype`."""
    xp = array_module(position_ids)
    wide = sum_dtype(dtype)
    frequencies, factor = inverse_frequencies(config, 0, xp)
    angles = position_ids[..., None].astype(wide) * frequencies.astype(wide, copy=False)
    return (xp.cos(angles) * factor).astype(dtype, copy=False), (xp.sin(angles) * factor).astype(dtype, copy=False)


def rotate(
    x: Float[Array, "batch heads tokens head_dim"],
    cos: Float[Array, "#batch tokens pairs"],
    sin: Float[Array, "#batch tokens pairs"],
) -> Float[Array, "batch heads tokens head_dim"]:
    """Turn every pair: (a, b) -> (a cos - b sin, b cos + a sin). Number i of a head is paired with number i + head_dim / 2."""
    xp = array_module(x)
    half = x.shape[-1] // 2
    a, b, cos, sin = x[..., :half], x[..., half:], cos[:, None], sin[:, None]
    turned = xp.empty_like(x)
    turned[..., :half] = a * cos - b * sin
    turned[..., half:] = b * cos + a * sin
    return turned
