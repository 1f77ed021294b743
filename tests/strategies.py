"""What the properties are drawn over: one place for every Hypothesis strategy that more than one room uses."""

import numpy as np
from hypothesis import strategies as st

from ovis2_ref.config import Ovis2Config, Ovis2VisionConfig, Qwen2Config

seeds = st.integers(0, 2**32 - 1)


@st.composite
def vision_configs(draw: st.DrawFn) -> Ovis2VisionConfig:
    """Small vision configurations: every activation, biases, one head or several, strides that divide the patch grid."""
    heads = draw(st.sampled_from([1, 2, 3, 4]))
    patch_size = draw(st.integers(1, 7))
    stride = draw(st.integers(1, 3))
    side = stride * draw(st.integers(1, 4))
    indicators = draw(st.sampled_from([5, 5, 5, 6, 7]))
    return Ovis2VisionConfig(
        hidden_size=heads * draw(st.integers(1, 12)),
        intermediate_size=draw(st.integers(1, 40)),
        num_hidden_layers=draw(st.integers(1, 3)),
        num_attention_heads=heads,
        num_channels=draw(st.sampled_from([3, 3, 1, 2, 4])),
        image_size=side * patch_size + draw(st.integers(0, patch_size - 1)),
        patch_size=patch_size,
        rms_norm_eps=draw(st.sampled_from([1e-5, 1e-6, 1e-2])),
        qkv_bias=draw(st.booleans()),
        mlp_bias=draw(st.booleans()),
        vocab_size=indicators + draw(st.integers(1, 30)),
        hidden_stride=stride,
        num_visual_indicator_tokens=indicators,
    )


@st.composite
def text_configs(draw: st.DrawFn) -> Qwen2Config:
    """Small language configurations: groups of all sizes, head widths apart from hidden / heads, windows, rope bases."""
    kv_heads = draw(st.integers(1, 3))
    heads = kv_heads * draw(st.integers(1, 4))
    head_dim = 2 * draw(st.integers(1, 8))
    layers = draw(st.integers(1, 3))
    return Qwen2Config(
        vocab_size=draw(st.integers(40, 80)),
        hidden_size=draw(st.sampled_from([heads * head_dim, 7, 24])),
        intermediate_size=draw(st.integers(1, 40)),
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=head_dim,
        max_position_embeddings=512,
        rms_norm_eps=draw(st.sampled_from([1e-6, 1e-5, 1e-2])),
        tie_word_embeddings=draw(st.booleans()),
        rope_parameters={"rope_type": "default", "rope_theta": draw(st.sampled_from([10000.0, 1000000.0, 100.0]))},
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
