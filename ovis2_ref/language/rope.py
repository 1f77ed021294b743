"""Rotary position embedding (Su et al., 2021): queries and keys are rotated, pair by pair, by angles that grow with the position.

A product of a query and a key then depends only on how far apart their tokens are.
"""

import numpy as np
from jaxtyping import Float, Int

from ovis2_ref.config import Qwen2Config
from ovis2_ref.language.rope_scaling import attention_factor, scaled_frequencies, theta_powers
from ovis2_ref.runtime.arrays import Array, sum_dtype
from ovis2_ref.runtime.gpu import kernels
from ovis2_ref.runtime.gpu.kernels import on_gpu
from ovis2_ref.runtime.tape import differentiable


def inverse_frequencies(position_ids: Int[Array, "batch tokens"], config: Qwen2Config) -> Float[Array, " pairs"]:
    """Return theta^(-2 i / head_dim) radians per position for pair i, or what the configuration's scaling makes of it.

    They are float32 numbers whatever the model computes in, as they were in training. Here each power is the float32 nearest
    to the true one; torch's is off by one unit in the last place once in a hundred.
    """
    if config.rope_parameters["rope_type"] != "default":
        return scaled_frequencies(position_ids, config)
    theta = np.float32(config.rope_parameters["rope_theta"])
    return 1 / theta_powers(theta, config.head_dim, position_ids)


def rotary_tables(
    position_ids: Int[Array, "batch tokens"], config: Qwen2Config, dtype: np.dtype
) -> tuple[Float[Array, "batch tokens pairs"], Float[Array, "batch tokens pairs"]]:
    """Return cos and sin of position * inverse frequency, times the attention factor, in `dtype`.

    They are computed in float32 (float64 for float64) and rounded once. transformers' tables hold every column twice, once for
    each number of a pair.
    """
    wide, factor = sum_dtype(dtype), attention_factor(config)
    angles = position_ids[..., None].astype(wide) * inverse_frequencies(position_ids, config).astype(wide)
    return (np.cos(angles) * factor).astype(dtype, copy=False), (np.sin(angles) * factor).astype(dtype, copy=False)


@differentiable
@on_gpu(kernels.rotate)
def rotate(
    x: Float[Array, "batch heads tokens head_dim"],
    cos: Float[Array, "#batch tokens pairs"],
    sin: Float[Array, "#batch tokens pairs"],
) -> Float[Array, "batch heads tokens head_dim"]:
    """(a, b) -> (a cos - b sin, b cos + a sin) for every pair: number i of a head and number i + head_dim / 2."""
    half = x.shape[-1] // 2
    a, b, cos, sin = x[..., :half], x[..., half:], cos[:, None], sin[:, None]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)
