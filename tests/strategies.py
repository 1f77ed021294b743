"""What the properties are drawn over: one place for every Hypothesis strategy that more than one room uses."""

from typing import Any

import numpy as np
import transformers
from hypothesis import strategies as st
from transformers.activations import ACT2FN

from ovis2_ref.activations import ACTIVATIONS
from ovis2_ref.config import Ovis2Config, Ovis2VisionConfig, Qwen2Config

seeds = st.integers(0, 2**32 - 1)

REFERENCE_ACTIVATIONS = sorted(set(ACTIVATIONS) & set(ACT2FN))
"""The activations that the installed transformers has: all but selu, which it only documents; 4 lacks sqrtsoftplus, too."""
ROPE_TYPES = ["default", "linear", "dynamic", "llama3"] + (["yarn"] if transformers.__version__ >= "5" else [])
"""The kinds of rotary embedding that it computes as ours; transformers 4 takes yarn's factor from the lengths alone."""


@st.composite
def vision_configs(draw: st.DrawFn) -> Ovis2VisionConfig:
    """Small vision configurations: every activation, biases, one head or several, strides that divide the patch grid."""
    heads = draw(st.sampled_from([1, 2, 3, 4]))
    patch_size = draw(st.integers(1, 7))
    stride = draw(st.integers(1, 3))
    side = stride * draw(st.integers(1, 4))
    indicators = draw(st.sampled_from([5, 5, 0, 1, 7]))
    return Ovis2VisionConfig(
        hidden_size=heads * draw(st.integers(1, 12)),
        intermediate_size=draw(st.integers(1, 40)),
        num_hidden_layers=draw(st.integers(1, 3)),
        num_attention_heads=heads,
        num_channels=draw(st.sampled_from([3, 3, 1, 2, 4])),
        image_size=side * patch_size + draw(st.integers(0, patch_size - 1)),
        patch_size=patch_size,
        rms_norm_eps=draw(st.sampled_from([1e-5, 1e-6, 1e-2])),
        hidden_act=draw(st.sampled_from(REFERENCE_ACTIVATIONS)),
        qkv_bias=draw(st.booleans()),
        mlp_bias=draw(st.booleans()),
        vocab_size=indicators + draw(st.integers(1, 30)),
        hidden_stride=stride,
        num_visual_indicator_tokens=indicators,
    )


@st.composite
def rope_settings(draw: st.DrawFn, head_dim: int) -> dict[str, Any]:
    """Every kind of rotary embedding, with the settings that transformers can leave out sometimes left out."""
    kind = draw(st.sampled_from([kind for kind in ROPE_TYPES if kind != "dynamic" or head_dim > 2]))
    rope: dict[str, Any] = {"rope_type": kind, "rope_theta": draw(st.sampled_from([1e4, 1e6, 100.0, 5e5]))}
    if kind == "default":
        return rope
    rope["factor"] = draw(st.sampled_from([1.0, 2.0, 3.7, 8.0]))
    if kind in ("yarn", "llama3"):
        rope["original_max_position_embeddings"] = draw(st.sampled_from([8, 64, 300]))
    if kind == "llama3":
        rope["low_freq_factor"] = draw(st.sampled_from([0.5, 1.0]))
        rope["high_freq_factor"] = draw(st.sampled_from([2.0, 4.0]))
    if kind == "yarn":
        optional = {
            "attention_factor": st.sampled_from([0.8, 1.3]),
            "beta_fast": st.sampled_from([32.0, 16.0]),
            "beta_slow": st.sampled_from([1.0, 0.5]),
            "truncate": st.booleans(),
        }
        rope |= draw(st.fixed_dictionaries({}, optional=optional))
        if draw(st.booleans()):
            rope |= {"mscale": draw(st.sampled_from([0.7, 1.0])), "mscale_all_dim": draw(st.sampled_from([0.7, 1.2]))}
    return rope


@st.composite
def text_configs(draw: st.DrawFn) -> Qwen2Config:
    """Small language configurations: groups of all sizes, head widths apart from hidden / heads, windows by number of layer or
    named layer by layer, every activation and every kind of rotary embedding.
    """
    kv_heads = draw(st.integers(1, 3))
    heads = kv_heads * draw(st.integers(1, 4))
    head_dim = 2 * draw(st.integers(1, 8))
    layers = draw(st.integers(1, 3))
    windowed = draw(st.booleans())
    kind = st.sampled_from(["full_attention", "sliding_attention"])
    return Qwen2Config(
        vocab_size=draw(st.integers(40, 80)),
        hidden_size=draw(st.sampled_from([heads * head_dim, 7, 24])),
        intermediate_size=draw(st.integers(1, 40)),
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=head_dim,
        hidden_act=draw(st.sampled_from(["silu", *REFERENCE_ACTIVATIONS])),
        max_position_embeddings=512,
        rms_norm_eps=draw(st.sampled_from([1e-6, 1e-5, 1e-2])),
        tie_word_embeddings=draw(st.booleans()),
        rope_parameters=draw(rope_settings(head_dim)),
        use_sliding_window=windowed,
        sliding_window=draw(st.integers(2, 8)) if windowed else None,
        max_window_layers=draw(st.integers(0, layers)),
        layer_types=draw(st.none() | st.lists(kind, min_size=layers, max_size=layers)) if windowed else None,
    )


@st.composite
def ovis2_configs(draw: st.DrawFn) -> Ovis2Config:
    """Small whole configurations; the special tokens are the last ids of the vocabulary."""
    vision, text = draw(vision_configs()), draw(text_configs())
    first = text.vocab_size - vision.num_visual_indicator_tokens - 1
    return Ovis2Config(
        vision_config=vision,
        text_config=text,
        image_token_id=first,
        visual_indicator_token_ids=list(range(first + 1, text.vocab_size)),
        vocab_size=text.vocab_size,
        hidden_size=text.hidden_size,
        tie_word_embeddings=text.tie_word_embeddings,
    )


def normal(seed: int, *shape: int, dtype: str = "float32") -> np.ndarray:
    """Standard normal numbers: the same draw for every dtype, rounded to it."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)
