"""Rotary position embedding (Su et al., 2021): the numbers of every query and key are turned, pair by pair, by angles that grow
with the position, so that a product of the two only knows how far apart they are.

The scalings that stretch it over longer texts are those of transformers 5.23, `modeling_rope_utils`. Where its float32
arithmetic shows (1 / x times a number for a number / x), it is followed.
"""

from math import ceil, floor, log, pi
from types import ModuleType

import numpy as np
from jaxtyping import Float, Float32, Int

from ovis2_ref.config import Qwen2Config
from ovis2_ref.runtime.arrays import Array, array_module, sum_dtype
from ovis2_ref.runtime.fusion import fused


def inverse_frequencies(position_ids: Int[Array, "batch tokens"], config: Qwen2Config) -> Float32[Array, " pairs"]:
    """Radians per position: theta^(-2 i / head_dim) for pair i, or what a scaling makes of it.

    They are float32 numbers whatever the model computes in, as they were in training. Here each power is the float32 nearest
    to the true one; torch's is off by one unit in the last place once in a hundred.
    Only the dynamic scaling looks at `position_ids`.
    """
    xp = array_module(position_ids)
    rope = config.rope_parameters
    theta = np.float32(rope["rope_theta"])
    if rope["rope_type"] == "dynamic":
        theta = dynamic_theta(position_ids, config)
    exponents = xp.arange(0, config.head_dim, 2, dtype=np.float32) / np.float32(config.head_dim)
    powers = _power(theta, exponents, xp)
    if rope["rope_type"] == "linear":
        return 1 / powers / np.float32(rope["factor"])
    if rope["rope_type"] == "yarn":
        return yarn(powers, config)
    if rope["rope_type"] == "llama3":
        return llama3(1 / powers, config)
    return 1 / powers


def _power(base: Array | np.float32, exponent: Array | np.float32, xp: ModuleType) -> Array:
    """base^exponent, of float32 numbers, correctly rounded."""
    return xp.power(base.astype(np.float64), exponent.astype(np.float64)).astype(np.float32)


def dynamic_theta(position_ids: Int[Array, "batch tokens"], config: Qwen2Config) -> Float32[Array, ""]:
    """theta (s length / max - (s - 1))^(d / (d - 2)), s the factor, d the head's width, for a length above
    max = `max_position_embeddings`; else theta ("dynamic NTK"). The length is the highest position + 1.

    Keys in a cache stay turned as they were. transformers goes on with the longest length it has seen until one below max
    comes; here the length is that of this call. In a text that grows the two agree.
    """
    xp = array_module(position_ids)
    rope = config.rope_parameters
    theta, factor, longest = (
        np.float32(v) for v in (rope["rope_theta"], rope["factor"], config.max_position_embeddings)
    )
    length = xp.maximum((position_ids.max() + 1).astype(np.float32), longest)
    stretch = factor * length / longest - np.float32(rope["factor"] - 1)
    stretched = theta * _power(stretch, np.float32(config.head_dim / (config.head_dim - 2)), xp)
    return xp.where(length > longest, stretched, theta)


def yarn(powers: Float32[Array, " pairs"], config: Qwen2Config) -> Float32[Array, " pairs"]:
    """YaRN (Peng et al., 2023, section 3.2): pairs that turn `beta_fast` times or more within the original length stay as they
    are, those that turn `beta_slow` times or less are slowed by the factor, and a ramp leads from one to the other.

    `powers` are theta^(2 i / head_dim).
    """
    xp = array_module(powers)
    rope = config.rope_parameters
    original = rope.get("original_max_position_embeddings", config.max_position_embeddings)
    factor = rope["factor"] or config.max_position_embeddings / original

    def pair_that_turns(times: float) -> float:
        return config.head_dim * log(original / (times * 2 * pi)) / (2 * log(rope["rope_theta"]))

    low, high = (pair_that_turns(float(rope.get(key) or times)) for key, times in (("beta_fast", 32), ("beta_slow", 1)))
    if rope.get("truncate", True):
        low, high = floor(low), ceil(high)
    low, high = max(low, 0), min(high, config.head_dim - 1)
    if low == high:
        high += 0.001  # as in transformers: a ramp of no width would divide by 0
    ramp = (xp.arange(len(powers), dtype=np.float32) - np.float32(low)) / np.float32(high - low)
    kept = 1 - xp.clip(ramp, 0, 1)
    return 1 / (np.float32(factor) * powers) * (1 - kept) + 1 / powers * kept


def llama3(frequencies: Float32[Array, " pairs"], config: Qwen2Config) -> Float32[Array, " pairs"]:
    """Llama 3.1's scaling: wavelengths above original / `low_freq_factor` are stretched by the factor, those below
    original / `high_freq_factor` are not, and those between are blended.
    """
    xp = array_module(frequencies)
    rope = config.rope_parameters
    factor, low, high = (np.float32(rope[key]) for key in ("factor", "low_freq_factor", "high_freq_factor"))
    original = np.float32(rope.get("original_max_position_embeddings", config.max_position_embeddings))
    wavelengths = 1 / frequencies * np.float32(2 * pi)
    scaled = xp.where(wavelengths > original / low, frequencies / factor, frequencies)
    smooth = (1 / wavelengths * original - low) / (high - low)
    blended = (1 - smooth) * scaled / factor + smooth * scaled
    between = (wavelengths >= original / high) & (wavelengths <= original / low)
    return xp.where(between, blended, scaled)


def attention_factor(config: Qwen2Config) -> float:
    """What YaRN multiplies cos and sin by (0.1 log(factor) + 1 unless the configuration says otherwise); else 1."""
    rope = config.rope_parameters
    if rope["rope_type"] != "yarn":
        return 1.0
    if rope.get("attention_factor") is not None:
        return float(rope["attention_factor"])
    original = rope.get("original_max_position_embeddings", config.max_position_embeddings)
    factor = rope["factor"] or config.max_position_embeddings / original

    def mscale(weight: float) -> float:
        return 0.1 * weight * log(factor) + 1.0 if factor > 1 else 1.0

    if rope.get("mscale") and rope.get("mscale_all_dim"):
        return mscale(float(rope["mscale"])) / mscale(float(rope["mscale_all_dim"]))
    return mscale(1.0)


def rotary_tables(
    position_ids: Int[Array, "batch tokens"], config: Qwen2Config, dtype: np.dtype
) -> tuple[Float[Array, "batch tokens pairs"], Float[Array, "batch tokens pairs"]]:
    """cos and sin of position * inverse frequency, times the attention factor: in float32, or float64 for float64, then rounded
    to `dtype`. (transformers' tables hold every column twice, once for each number of a pair.)
    """
    xp = array_module(position_ids)
    wide, factor = sum_dtype(dtype), attention_factor(config)
    angles = position_ids[..., None].astype(wide) * inverse_frequencies(position_ids, config).astype(wide)
    return (xp.cos(angles) * factor).astype(dtype, copy=False), (xp.sin(angles) * factor).astype(dtype, copy=False)


def rotate(
    x: Float[Array, "batch heads tokens head_dim"],
    cos: Float[Array, "#batch tokens pairs"],
    sin: Float[Array, "#batch tokens pairs"],
) -> Float[Array, "batch heads tokens head_dim"]:
    """(a, b) -> (a cos - b sin, b cos + a sin) for every pair. Number i of a head is paired with number i + head_dim / 2."""
    half = x.shape[-1] // 2
    turned = array_module(x).empty_like(x)
    _turn(x[..., :half], x[..., half:], cos[:, None], sin[:, None], turned[..., :half], turned[..., half:])
    return turned


@fused
def _turn(a: Array, b: Array, cos: Array, sin: Array, turned_a: Array, turned_b: Array) -> None:
    turned_a[...] = a * cos - b * sin
    turned_b[...] = b * cos + a * sin
