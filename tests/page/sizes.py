"""A recording of the size that Ovis2-1B's would have: its layers, heads, tiles, tokens and vocabularies, with narrow vectors."""

from typing import Any

import numpy as np
from PIL import Image

from ovis2_ref.checkpoint.random_weights import random_weights
from ovis2_ref.config import Ovis2Config
from ovis2_ref.config.presets import preset
from ovis2_ref.image.processor import Ovis2ImageProcessor
from ovis2_ref.model import Ovis2ForConditionalGeneration
from ovis2_ref.page.recording import record_run
from ovis2_ref.text.processor import Ovis2Processor
from ovis2_ref.tiny import TINY


def shape_of_1b() -> Ovis2Config:
    """Return Ovis2-1B's shape with vectors of 112 numbers in place of 896, and one narrow block in the vision tower."""
    full, tiny = preset("Ovis2-1B"), Ovis2Config.from_pretrained(TINY)
    narrow = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    return Ovis2Config.from_dict(
        {
            **full,
            "vision_config": {**full["vision_config"], **narrow},
            "text_config": {**full["text_config"], "hidden_size": 112, "intermediate_size": 64, "head_dim": 8},
            "hidden_size": 112,
            "image_token_id": tiny.image_token_id,
            "visual_indicator_token_ids": tiny.visual_indicator_token_ids,
        }
    )


def recording_of_1b() -> dict[str, Any]:
    """Return the data of a page: seven tiles of a picture that is hard to compress, 1,820 tokens, an answer of 64."""
    config = shape_of_1b()
    model = Ovis2ForConditionalGeneration(config, random_weights(config, seed=0))
    images = Ovis2ImageProcessor(size={"height": 448, "width": 448}, crop_to_patches=True, max_patches=9)
    processor = Ovis2Processor(images, Ovis2Processor.from_pretrained(TINY).tokenizer, image_seq_length=256)
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 60, (1344, 896, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(rng.integers(0, 196, (12, 8, 3), dtype=np.uint8)).resize((896, 1344)))
    return record_run(
        [Image.fromarray(noise + smooth)], "Describe the image.", "Ovis2-1B", model, processor, "it is large"
    )
