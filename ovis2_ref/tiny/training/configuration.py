"""The tiny Ovis2: its sizes, and the folder it is saved to."""

from pathlib import Path

from transformers import GenerationConfig, Ovis2Config, Ovis2ForConditionalGeneration, Ovis2Processor, Qwen2Config
from transformers.models.ovis2.configuration_ovis2 import Ovis2VisionConfig

from ovis2_ref.text.chat import CHAT_TEMPLATE
from ovis2_ref.text.layout import INDICATORS
from ovis2_ref.tiny.training.pictures import TILE_SIZE, image_processor
from ovis2_ref.tiny.training.tokens import load_tokenizer
from ovis2_ref.tiny.training.words import CELLS

VISUAL_WORDS = 256
HIDDEN_SIZE = 128


def vision_config() -> Ovis2VisionConfig:
    """Configure the vision tower: tiles of 64 pixels, patches of 8, merged 2 x 2 to 16 visual tokens a tile."""
    return Ovis2VisionConfig(
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
        initializer_range=0.06,
    )


def end_tokens(tokenizer) -> dict[str, int | list[int] | None]:
    """Say which tokens end an answer, and which one pads."""
    im_end, endoftext = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    return {"bos_token_id": None, "eos_token_id": [im_end, endoftext], "pad_token_id": endoftext}


def model_config(tokenizer) -> Ovis2Config:
    """Configure the whole model for this tokenizer."""
    ids = tokenizer.convert_tokens_to_ids
    ends = end_tokens(tokenizer)
    text = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=HIDDEN_SIZE,
        intermediate_size=320,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        rope_theta=10_000.0,
        tie_word_embeddings=True,
        initializer_range=0.05,
        **ends,
    )
    return Ovis2Config(
        vision_config=vision_config(),
        text_config=text,
        vocab_size=text.vocab_size,
        hidden_size=text.hidden_size,
        image_token_id=ids("<IMG_ATOM>"),
        visual_indicator_token_ids=[ids(indicator) for indicator in INDICATORS],
        tie_word_embeddings=True,
        **ends,
    )


def build_processor() -> Ovis2Processor:
    """Put the image processor, the tokenizer and the chat template together."""
    return Ovis2Processor(
        image_processor=image_processor,
        tokenizer=load_tokenizer(),
        chat_template=CHAT_TEMPLATE,
        image_seq_length=CELLS * CELLS,
    )


def save(model: Ovis2ForConditionalGeneration, folder: Path) -> None:
    """Write the model and its processor as transformers does."""
    model.generation_config = GenerationConfig(do_sample=False, **end_tokens(load_tokenizer()))
    model.save_pretrained(folder)
    build_processor().save_pretrained(folder)
