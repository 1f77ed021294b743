"""A small configuration, with a separate output head, that several files of this room use."""

import pytest

from ovis2_ref.config import Ovis2Config, Ovis2VisionConfig, Qwen2Config


@pytest.fixture(scope="session")
def small_config() -> Ovis2Config:
    """Two layers of each kind, five visual indicators, an untied head."""
    vision = Ovis2VisionConfig(
        hidden_size=12, intermediate_size=20, num_hidden_layers=2, num_attention_heads=2, image_size=16, patch_size=4,
        vocab_size=30, hidden_stride=2,
    )  # fmt: skip
    text = Qwen2Config(
        vocab_size=60, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=256,
    )  # fmt: skip
    return Ovis2Config(
        vision_config=vision, text_config=text, image_token_id=54, visual_indicator_token_ids=[55, 56, 57, 58, 59],
        vocab_size=60, hidden_size=16, tie_word_embeddings=False,
    )  # fmt: skip
