"""The tiny Ovis2: its sizes, its weights at the start, and the folder it is saved to."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ovis2_ref.checkpoint.names import VISION, expected_shapes
from ovis2_ref.config import Ovis2Config, Ovis2VisionConfig, Qwen2Config
from ovis2_ref.model import Ovis2ForConditionalGeneration
from ovis2_ref.runtime.arrays import Array
from ovis2_ref.text.chat import CHAT_TEMPLATE
from ovis2_ref.text.layout import IMAGE_ATOM, INDICATORS
from ovis2_ref.text.processor import Ovis2Processor
from ovis2_ref.text.tokenizer import Tokenizer
from ovis2_ref.tiny.training.pictures import TILE_SIZE, image_processor
from ovis2_ref.tiny.training.tokens import load_tokenizer
from ovis2_ref.tiny.training.words import CELLS

VISUAL_WORDS = 256
HIDDEN_SIZE = 128
SPREAD, VISION_SPREAD = 0.05, 0.06
"""Spread of the matrices' numbers at the start."""


def end_tokens(tokenizer: Tokenizer) -> dict[str, Any]:
    """Say which tokens end an answer, and which one pads."""
    im_end, endoftext = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    return {"bos_token_id": None, "eos_token_id": [im_end, endoftext], "pad_token_id": endoftext}


def model_config() -> Ovis2Config:
    """Configure the model: tiles of 64 pixels, patches of 8, merged 2 x 2 to 16 visual tokens a tile."""
    tokenizer = load_tokenizer()
    vision = Ovis2VisionConfig(
        hidden_size=HIDDEN_SIZE,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=TILE_SIZE,
        patch_size=8,
        hidden_stride=2,
        vocab_size=VISUAL_WORDS,
        num_visual_indicator_tokens=len(INDICATORS),
        tokenize_function="softmax",
    )
    text = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN_SIZE,
        intermediate_size=320,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        **end_tokens(tokenizer),
    )
    return Ovis2Config(
        vision_config=vision,
        text_config=text,
        vocab_size=text.vocab_size,
        hidden_size=text.hidden_size,
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE_ATOM),
        visual_indicator_token_ids=tokenizer.convert_tokens_to_ids(list(INDICATORS)),
        tie_word_embeddings=True,
    )


def start_weights(config: Ovis2Config, rng: np.random.Generator) -> dict[str, Array]:
    """Draw the weights that training starts from: matrices normal, weights of norms 1, biases 0."""
    weights = {}
    for name, shape in expected_shapes(config).items():
        if len(shape) == 1:
            weights[name] = np.full(shape, 0 if name.endswith("bias") else 1, np.float32)
        else:
            spread = VISION_SPREAD if name.startswith(VISION) else SPREAD
            weights[name] = spread * rng.standard_normal(shape, np.float32)
    return weights


def build_processor() -> Ovis2Processor:
    """Put the image processor, the tokenizer and the chat template together."""
    return Ovis2Processor(image_processor, load_tokenizer(), CHAT_TEMPLATE, image_seq_length=CELLS * CELLS)


def save(weights: Mapping[str, Array], folder: Path) -> None:
    """Write the model and its processor in transformers' layout."""
    settings = {"do_sample": False, **end_tokens(load_tokenizer())}
    Ovis2ForConditionalGeneration(model_config(), weights, generation_config=settings).save_pretrained(folder)
    build_processor().save_pretrained(folder)
