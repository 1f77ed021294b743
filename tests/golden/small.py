"""Recorded runs of a model of one layer on each side: comparing one takes milliseconds. Nothing here imports torch."""

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ovis2_ref import TINY, Ovis2Config, Ovis2ForConditionalGeneration, Ovis2Processor
from ovis2_ref.checkpoint.names import expected_shapes
from ovis2_ref.golden import Comparison, Golden, compare, read_golden, record
from ovis2_ref.golden.reference import load_reference
from ovis2_ref.golden.stages import Reference

PICTURE = np.random.default_rng(2).integers(0, 255, (40, 100, 3), np.uint8)
QUESTION = "How many shapes?"


@cache
def small_folder() -> Path:
    """Return a folder with a model of one layer on each side, and the tiny checkpoint's tokenizer and picture settings."""
    folder = Path(tempfile.mkdtemp()) / "model"
    tiny = Ovis2ForConditionalGeneration.from_pretrained(TINY).config.to_dict()
    small = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Ovis2Config.from_dict(
        {
            **tiny,
            "hidden_size": 16,
            "vision_config": {**tiny["vision_config"], **small, "patch_size": 16, "hidden_stride": 1},
            "text_config": {
                **tiny["text_config"],
                **small,
                "num_key_value_heads": 1,
                "head_dim": 8,
                "layer_types": None,
            },
        }
    )
    random_numbers = np.random.default_rng(1)
    weights = {
        name: random_numbers.standard_normal(shape, np.float32) * np.float32(0.3)
        for name, shape in expected_shapes(config).items()
    }
    Ovis2ForConditionalGeneration(config, weights).save_pretrained(folder)
    Ovis2Processor.from_pretrained(TINY).save_pretrained(folder)
    return folder


def run(dtype: str = "float32", **options: Any) -> Golden:
    """Return a recorded run of that model: two tokens about a picture of two tiles and a thumbnail, held in memory."""
    folder = small_folder()
    model = Ovis2ForConditionalGeneration.from_pretrained(folder, dtype=dtype)
    model.generation_config = {**model.generation_config, "eos_token_id": None}
    options = {"tokens": 2, "max_patches": 2, **options}
    record(folder / "golden", model, Ovis2Processor.from_pretrained(folder), [PICTURE], QUESTION, **options)
    golden = read_golden(folder / "golden")
    return Golden({name: golden.taps[name] for name in golden.taps}, golden.metadata)


@cache
def recorded() -> Golden:
    """Return the golden file, in float64."""
    return run("float64")


@cache
def reference() -> Reference:
    """Return what to judge with."""
    return load_reference(recorded(), small_folder())


def judged(taps: dict[str, np.ndarray], golden: Golden | None = None, **options: Any) -> Comparison:
    """Compare values that claim to be computed in float32."""
    return compare(golden or recorded(), Golden(taps, {"dtype": "float32"}), reference(), **options)
