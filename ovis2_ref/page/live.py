"""What a page carries to be the model itself: configuration, tokenizer, weights in float16, and scenes to draw."""

import zlib
from base64 import b64encode
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from ovis2_ref.checkpoint.names import expected_shapes
from ovis2_ref.config import Ovis2Config
from ovis2_ref.files.reading import parse_json
from ovis2_ref.image.processor import Ovis2ImageProcessor
from ovis2_ref.model import Ovis2ForConditionalGeneration
from ovis2_ref.text.processor import Ovis2Processor
from ovis2_ref.text.tokenizer_files import read_tokenizer_json
from ovis2_ref.tiny import SAMPLE, TINY
from ovis2_ref.tiny.training.draw_samples import SAMPLES
from ovis2_ref.tiny.training.questions import ASKERS, ask
from ovis2_ref.tiny.training.scenes import COLOURS, KINDS, Scene, draw_scene
from ovis2_ref.tiny.training.words import WORDS

MOST_WEIGHTS = 2_000_000
"""Parameters of the largest model that a page carries: 4 MB in float16, 5.4 MB in base64."""
LONGEST_EDGE = 640
"""Pixels along an edge of a picture in a live page, so that the page stays below 6 MB; larger ones are reduced."""


def why_not_live(model: Ovis2ForConditionalGeneration, processor: Ovis2Processor) -> str | None:
    """Return why the page's JavaScript can't be this model, or None if it can."""
    vision, text = model.config.vision_config, model.config.text_config
    scores = {"repetition_penalty": (None, 1.0), "num_beams": (None, 1), "do_sample": (None, False)}
    needs = {
        f"it has more than {MOST_WEIGHTS:,} parameters": parameters(model.config) <= MOST_WEIGHTS,
        "its visual tokens are no softmax": vision.tokenize_function == "softmax",
        "its activation is not SiLU": {vision.hidden_act, text.hidden_act} == {"silu"},
        "its rotary embedding is scaled": text.rope_parameters["rope_type"] == "default",
        "its attention has windows": set(text.layer_types) == {"full_attention"},
        "its patches don't fit the stride": vision.image_size // vision.patch_size % vision.hidden_stride == 0,
        "its pictures are not cut by the covering area after bicubic resizing": _cuts_as_usual(
            processor.image_processor
        ),
        "its generation_config.json changes scores": all(
            model.generation_config.get(name) in neutral for name, neutral in scores.items()
        ),
    }
    return next((reason for reason, met in needs.items() if not met), None)


def _cuts_as_usual(image: Ovis2ImageProcessor) -> bool:
    """Return whether `model/picture.mjs` cuts pictures as this processor does."""
    statistics = isinstance(image.image_mean, tuple) and isinstance(image.image_std, tuple)
    steps = image.do_resize and image.do_rescale and image.do_normalize and not image.do_center_crop
    square = set(image.size) == {"height", "width"} and image.tile_size[0] == image.tile_size[1]
    cut = image.crop_to_patches and image.max_patches > 1 and image.use_covering_area_grid
    return statistics and steps and square and cut and image.filter == "bicubic" and image.pillow == "13"


def parameters(config: Ovis2Config) -> int:
    """Return how many numbers the weights of a model hold."""
    return sum(prod(shape) for shape in expected_shapes(config).values())


def live_model(folder: str | Path, model: Ovis2ForConditionalGeneration, processor: Ovis2Processor) -> dict[str, Any]:
    """Return what `load` of model/run.mjs takes, as JSON; `half_weights` are its second argument."""
    image = processor.image_processor
    return {
        "config": configuration(model.config, model.generation_config),
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


def configuration(config: Ovis2Config, generation: Any) -> dict[str, Any]:
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


def picture_data(picture: UInt8[np.ndarray, "height width 3"]) -> dict[str, Any]:
    """Return a picture as the page reads it, to the bit."""
    height, width, _ = picture.shape
    return {"height": height, "width": width, "rgb": deflated(picture.tobytes())}


def deflated(data: bytes) -> str:
    """Return bytes, compressed, in base64."""
    return b64encode(zlib.compress(data, 9)).decode()


def fitted(image: Image.Image) -> Image.Image:
    """Return the picture in RGB, reduced if an edge is longer than `LONGEST_EDGE`."""
    image = image.convert("RGB")
    image.thumbnail((LONGEST_EDGE, LONGEST_EDGE), Image.Resampling.BICUBIC)
    return image


def scene_data(scene: Scene) -> dict[str, Any]:
    """Return a scene as views/scene.mjs draws it."""
    return {
        "height": scene.height,
        "width": scene.width,
        "background": [list(scene.background[0]), list(scene.background[1])],
        "shapes": [
            {"kind": s.kind, "colour": s.colour, "x": s.x, "y": s.y, "radius": s.radius, "rgb": list(s.rgb)}
            for s in scene.shapes
        ],
    }


def scenes_and_samples(pictures: Sequence[np.ndarray]) -> dict[str, Any]:
    """Return what the page draws scenes with, the samples, and the scene of the page's picture if it is a sample."""
    samples, shown = [], None
    for name, seed in SAMPLES.items():
        picture = np.asarray(Image.open(SAMPLE.with_name(f"{name}.png")).convert("RGB"))
        scene = draw_scene(seed)
        same = np.array_equal(scene.render(), picture)
        samples.append(
            {"name": name.replace("_", " "), **picture_data(picture), "scene": scene_data(scene) if same else None}
        )
        if same and len(pictures) == 1 and np.array_equal(pictures[0], picture):
            shown = scene_data(scene)
    colours = {name: list(rgb) for name, rgb in COLOURS.items()}
    return {"scenes": {"kinds": list(KINDS), "colours": colours}, "samples": samples, "scene": shown}


def questions(prompt: str) -> list[str]:
    """Return the prompt, and a question of every kind that the tiny model learnt, about the first sample."""
    scene, rng = draw_scene(next(iter(SAMPLES.values()))), np.random.default_rng(0)
    asked = [question.request for kind in ASKERS if (question := ask(scene, kind, rng)) is not None]
    return list(dict.fromkeys([prompt, "Describe the image.", *asked]))


def meanings(checkpoint: str | Path) -> list[str]:
    """Return what the first visual words were taught to mean; nothing for another checkpoint than the tiny one."""
    return list(WORDS) if Path(checkpoint).resolve() == TINY.resolve() else []
