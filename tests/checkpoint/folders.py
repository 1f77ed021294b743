"""Small checkpoints of both layouts: where every test of this room begins."""

import shutil
from dataclasses import replace
from pathlib import Path

from ovis2_ref.checkpoint.loading import read_config
from ovis2_ref.config import Ovis2Config, Ovis2VisionConfig, Qwen2Config
from ovis2_ref.text.processor import Ovis2Processor
from tests.oracle import reference_model

GOLDEN = Path(__file__).parents[1] / "golden_original" / "checkpoint"
"""A checkpoint in the authors' layout."""


def small_config() -> Ovis2Config:
    """Return two layers of each kind, five visual indicators, an untied head."""
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


def write_transformers_checkpoint(folder: Path) -> None:
    """A bfloat16 model in shards, written by transformers, with a processor whose tokenizer is the authors' checkpoint's."""
    config, authors = small_config(), read_config(GOLDEN)
    text = replace(config.text_config, vocab_size=authors.vocab_size)
    vision = replace(config.vision_config, image_size=56, patch_size=14)
    ids = {"image_token_id": authors.image_token_id, "visual_indicator_token_ids": authors.visual_indicator_token_ids}
    config = replace(config, vision_config=vision, text_config=text, vocab_size=authors.vocab_size, **ids)
    reference_model(config, 0, "bfloat16").save_pretrained(folder, max_shard_size="40KB")
    Ovis2Processor.from_pretrained(GOLDEN).save_pretrained(folder)
    assert len(list(folder.glob("*.safetensors"))) > 1


def copy_original_checkpoint(folder: Path) -> None:
    """The authors' checkpoint, with files that can be written to."""
    shutil.copytree(GOLDEN, folder)
    for path in folder.iterdir():
        path.chmod(0o644)
