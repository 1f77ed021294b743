"""The shapes that are measured, and models of them: ours and transformers', on the same arrays in memory."""

from typing import Any, NamedTuple

from ovis2_ref import TINY, Ovis2Config, Ovis2ForConditionalGeneration
from ovis2_ref.checkpoint.random_weights import random_weights
from ovis2_ref.config import Ovis2VisionConfig, Qwen2Config

OURS, SDPA, EAGER = "ours", "sdpa", "eager"
"""Programs: ours, and transformers with each attention."""


def middle_config() -> Ovis2Config:
    """Return a shape of about 100 million parameters: 224 px tiles of 64 visual tokens, 12 blocks of 512, 6 layers of 768."""
    return Ovis2Config(
        vision_config=Ovis2VisionConfig(
            hidden_size=512, intermediate_size=1536, num_hidden_layers=12, num_attention_heads=8, image_size=224,
            hidden_stride=2, vocab_size=4096,
        ),
        text_config=Qwen2Config(
            hidden_size=768, intermediate_size=2048, num_hidden_layers=6, num_attention_heads=12,
            num_key_value_heads=2, vocab_size=16384,
        ),
        image_token_id=16378, visual_indicator_token_ids=[16379, 16380, 16381, 16382, 16383], vocab_size=16384,
        hidden_size=768, tie_word_embeddings=True,
    )  # fmt: skip


SHAPES = {
    "tiny": lambda: Ovis2Config.from_pretrained(TINY),
    "100m": middle_config,
    "1b": lambda: Ovis2Config.preset("Ovis2-1B"),
}


class Models(NamedTuple):
    """One model in both programs, on the same arrays in memory."""

    config: Ovis2Config
    ours: Ovis2ForConditionalGeneration
    theirs: dict[str, Any]
    """transformers' `Ovis2ForConditionalGeneration` with each attention."""


def both_models(shape: str) -> Models:
    """Models of `shape` with drawn weights."""
    config = SHAPES[shape]()
    weights = random_weights(config, seed=0)
    theirs = {attention: their_model(config, weights, attention) for attention in (SDPA, EAGER)}
    return Models(config, Ovis2ForConditionalGeneration(config, weights), theirs)


def their_model(config: Ovis2Config, weights: dict[str, Any], attention: str) -> Any:
    """transformers' model of `config` on the memory of `weights`. No token ends its answers."""
    import torch
    import transformers

    from tests.oracle import reference_config

    transformers.utils.logging.disable_progress_bar()
    state = {name: torch.from_numpy(array) for name, array in weights.items()}
    model = transformers.Ovis2ForConditionalGeneration.from_pretrained(
        None, config=reference_config(config), state_dict=state
    )
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    model.set_attn_implementation(attention)
    return model
