"""What a page carries to be the model itself: the configuration, the tokenizer, the picture's options, the weights in float16."""

from pathlib import Path
from typing import Any

import numpy as np

from ovis2_ref.config import Ovis2Config
from ovis2_ref.files.reading import parse_json
from ovis2_ref.image.processor import Ovis2ImageProcessor
from ovis2_ref.model import Ovis2ForConditionalGeneration
from ovis2_ref.text.processor import Ovis2Processor
from ovis2_ref.text.tokenizer_files import read_tokenizer_json

MOST_WEIGHTS = 2_000_000
"""Parameters of the largest model that a page carries: 4 MB in float16, 5.4 MB in base64."""


def why_not_live(model: Ovis2ForConditionalGeneration, processor: Ovis2Processor) -> str | None:
    """Return why the page's JavaScript can't be this model, or None if it can."""
    config, image = model.config, processor.image_processor
    vision, text = config.vision_config, config.text_config
    needs = {
        f"it has more than {MOST_WEIGHTS:,} parameters": sum(w.size for w in model.weights.values()) <= MOST_WEIGHTS,
        "its visual tokens are no softmax": vision.tokenize_function == "softmax",
        "its activation is not SiLU": {vision.hidden_act, text.hidden_act} == {"silu"},
        "its rotary embedding is scaled": text.rope_parameters["rope_type"] == "default",
        "its attention has windows": set(text.layer_types) == {"full_attention"},
        "its convention is not transformers'": model.convention.name == "transformers",
        "its patches don't fit the stride": vision.image_size // vision.patch_size % vision.hidden_stride == 0,
        "its pictures are not cut by the covering area, with bicubic resizing": _is_usual(image),
        "it changes the scores of tokens": not _changes_scores(model),
    }
    return next((reason for reason, met in needs.items() if not met), None)


def _is_usual(image: Ovis2ImageProcessor) -> bool:
    """Return whether pictures are cut as `picture.mjs` does it."""
    statistics = isinstance(image.image_mean, tuple) and isinstance(image.image_std, tuple)
    steps = image.do_resize and image.do_rescale and image.do_normalize and not image.do_center_crop
    square = set(image.size) == {"height", "width"} and image.tile_size[0] == image.tile_size[1]
    cut = image.crop_to_patches and image.max_patches > 1 and image.use_covering_area_grid
    return statistics and steps and square and cut and image.filter == "bicubic" and image.pillow == "13"


def _changes_scores(model: Ovis2ForConditionalGeneration) -> bool:
    settings = model.generation_config
    return any(
        settings.get(name) not in (None, neutral) for name, neutral in (("repetition_penalty", 1.0), ("num_beams", 1))
    )


def live_model(folder: str | Path, model: Ovis2ForConditionalGeneration, processor: Ovis2Processor) -> dict[str, Any]:
    """Return what `load` of model/run.mjs takes, as JSON; `half_weights` are its second argument."""
    image = processor.image_processor
    return {
        "config": _config(model.config, model.generation_config),
        "tokenizer": _tokenizer(Path(folder)),
        "image": {
            "side": image.tile_size[0],
            "max_tiles": image.max_patches,
            "threshold": image.covering_threshold,
            "rescale_factor": image.rescale_factor,
            "mean": image.image_mean,
            "std": image.image_std,
        },
        "tensors": [[name, list(array.shape)] for name, array in model.weights.items()],
    }


def half_weights(model: Ovis2ForConditionalGeneration) -> bytes:
    """Return all weights, rounded to float16, one after another, little-endian."""
    return b"".join(np.asarray(array, "<f2").tobytes() for array in model.weights.values())


def _config(config: Ovis2Config, generation: Any) -> dict[str, Any]:
    """Return the configuration with every default written out, and the tokens that end an answer."""
    values = config.to_dict()
    eos = generation.get("eos_token_id", values.get("eos_token_id"))
    values["eos_token_id"] = [eos] if isinstance(eos, int) else list(eos or ())
    values["text_config"]["head_dim"] = config.text_config.head_dim
    values["tie_word_embeddings"] = config.tie_word_embeddings
    return values


def _tokenizer(folder: Path) -> dict[str, Any]:
    """Return the vocabulary by id, the merges, and the ids of the control tokens, from tokenizer.json."""
    data = parse_json(read_tokenizer_json(folder).encode(), f"{folder}/tokenizer.json")
    vocabulary = data["model"]["vocab"]
    tokens = [""] * (1 + max(vocabulary.values()))
    for token, number in vocabulary.items():
        tokens[number] = token
    merges = [merge.split(" ") if isinstance(merge, str) else merge for merge in data["model"]["merges"]]
    return {"vocab": tokens, "merges": merges, "special": {t["content"]: t["id"] for t in data["added_tokens"]}}
