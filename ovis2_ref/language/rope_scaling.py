"""Scalings that stretch the rotary embedding over longer texts, as transformers 5.24 computes them (`modeling_rope_utils`).

The released Ovis2 models use none of them. Where transformers' float32 arithmetic shows (1 / x times a number for a number / x),
its order of operations is kept.
"""

from math import ceil, floor, log, pi

import numpy as np
from jaxtyping import Float32, Int

from ovis2_ref.config import Qwen2Config
from ovis2_ref.runtime.arrays import Array


def scaled_frequencies(position_ids: Int[Array, "batch tokens"], config: Qwen2Config) -> Float32[Array, " pairs"]:
    """Return the inverse frequencies that the scaling `rope_type` makes of theta^(-2 i / head_dim).

    Only the dynamic scaling looks at `position_ids`.
    """
    rope = config.rope_parameters
    theta = dynamic_theta(position_ids, config) if rope["rope_type"] == "dynamic" else np.float32(rope["rope_theta"])
    powers = theta_powers(theta, config.head_dim, position_ids)
    if rope["rope_type"] == "linear":
        return 1 / powers / np.float32(rope["factor"])
    if rope["rope_type"] == "yarn":
        return yarn(powers, config)
    if rope["rope_type"] == "llama3":
        return llama3(1 / powers, config)
    return 1 / powers


def theta_powers(theta: Array | np.float32, head_dim: int, like: Array) -> Float32[Array, " pairs"]:
    """Return theta^(2 i / head_dim) for every pair i: the float32 numbers nearest to the true ones, where `like` lies."""
    return _power(theta, np.arange(0, head_dim, 2, dtype=np.float32, like=like) / np.float32(head_dim))


def _power(base: Array | np.float32, exponent: Array | np.float32) -> Array:
    """Return base^exponent of float32 numbers, correctly rounded."""
    return np.power(base.astype(np.float64), exponent.astype(np.float64)).astype(np.float32)


def dynamic_theta(position_ids: Int[Array, "batch tokens"], config: Qwen2Config) -> Float32[Array, ""]:
    """theta (s length / max - (s - 1))^(d / (d - 2)), s the factor, d the head's width, for a length above
    max = `max_position_embeddings`; else theta ("dynamic NTK"). The length is the highest position + 1.

    Keys in a cache keep their rotation. transformers keeps the longest length of all calls until a call stays below max; here
    the length is that of this call. While a text grows, the two agree.
    """
    rope = config.rope_parameters
    theta, factor, longest = (
        np.float32(v) for v in (rope["rope_theta"], rope["factor"], config.max_position_embeddings)
    )
    length = np.maximum((position_ids.max() + 1).astype(np.float32), longest)
    stretch = factor * length / longest - np.float32(rope["factor"] - 1)
    stretched = theta * _power(stretch, np.float32(config.head_dim / (config.head_dim - 2)))
    return np.where(length > longest, stretched, theta)


def yarn(powers: Float32[Array, " pairs"], config: Qwen2Config) -> Float32[Array, " pairs"]:
    """YaRN (Peng et al., 2023, section 3.2): pairs that turn `beta_fast` times or more within the original length stay as they
    are, those that turn `beta_slow` times or less are slowed by the factor, and a ramp leads from one to the other.

    `powers` are theta^(2 i / head_dim).
    """
    rope = config.rope_parameters
    original = rope.get("original_max_position_embeddings", config.max_position_embeddings)
    factor = rope.get("factor") or config.max_position_embeddings / original

    def pair_that_turns(times: float) -> float:
        return config.head_dim * log(original / (times * 2 * pi)) / (2 * log(rope["rope_theta"]))

    low, high = (pair_that_turns(float(rope.get(key) or times)) for key, times in (("beta_fast", 32), ("beta_slow", 1)))
    if rope.get("truncate", True):
        low, high = floor(low), ceil(high)
    low, high = max(low, 0), min(high, config.head_dim - 1)
    if low == high:
        high += 0.001  # as in transformers: a ramp of no width would divide by 0
    ramp = (np.arange(len(powers), dtype=np.float32, like=powers) - np.float32(low)) / np.float32(high - low)
    kept = 1 - np.clip(ramp, 0, 1)
    return 1 / (np.float32(factor) * powers) * (1 - kept) + 1 / powers * kept


def llama3(frequencies: Float32[Array, " pairs"], config: Qwen2Config) -> Float32[Array, " pairs"]:
    """Llama 3.1's scaling: wavelengths above original / `low_freq_factor` are stretched by the factor, those below
    original / `high_freq_factor` are not, and those between are blended.
    """
    rope = config.rope_parameters
    factor, low, high = (np.float32(rope[key]) for key in ("factor", "low_freq_factor", "high_freq_factor"))
    original = np.float32(rope.get("original_max_position_embeddings", config.max_position_embeddings))
    wavelengths = 1 / frequencies * np.float32(2 * pi)
    scaled = np.where(wavelengths > original / low, frequencies / factor, frequencies)
    smooth = (1 / wavelengths * original - low) / (high - low)
    blended = (1 - smooth) * scaled / factor + smooth * scaled
    between = (wavelengths >= original / high) & (wavelengths <= original / low)
    return np.where(between, blended, scaled)


def attention_factor(config: Qwen2Config) -> float:
    """Return what YaRN multiplies cos and sin by (0.1 log(factor) + 1 unless the configuration sets it); 1 for others."""
    rope = config.rope_parameters
    if rope["rope_type"] != "yarn":
        return 1.0
    if rope.get("attention_factor") is not None:
        return float(rope["attention_factor"])
    original = rope.get("original_max_position_embeddings", config.max_position_embeddings)
    factor = rope.get("factor") or config.max_position_embeddings / original

    def mscale(weight: float) -> float:
        return 0.1 * weight * log(factor) + 1.0 if factor > 1 else 1.0

    if rope.get("mscale") and rope.get("mscale_all_dim"):
        return mscale(float(rope["mscale"])) / mscale(float(rope["mscale_all_dim"]))
    return mscale(1.0)
