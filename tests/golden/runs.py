"""Recorded runs for the tests: of this program on drawn models, in every type."""

from pathlib import Path
from typing import Any

import numpy as np

from ovis2_ref import TINY, Ovis2ForConditionalGeneration, Ovis2Processor
from ovis2_ref.golden import Golden, read_golden, record
from ovis2_ref.golden.reference import load_reference
from ovis2_ref.golden.stages import Reference


def picture(seed: int, height: int = 90, width: int = 150) -> np.ndarray:
    """Return a picture (height, width, 3) of noise on a slope: no two parts of it are alike."""
    generator = np.random.default_rng(seed)
    slope = np.linspace(0, 120, width)[None, :, None] + np.linspace(0, 60, height)[:, None, None]
    return (slope + generator.integers(0, 70, (height, width, 3))).astype(np.uint8)


def tiny_model(dtype: str = "float32", convention: str = "transformers") -> Ovis2ForConditionalGeneration:
    """Return the embedded model."""
    return Ovis2ForConditionalGeneration.from_pretrained(TINY, dtype=dtype, convention=convention)


def tiny_run(path: Path, dtype: str = "float32", **options: Any) -> Golden:
    """Return a recorded run of the embedded model on a picture of 2 x 1 tiles and a thumbnail."""
    processor = Ovis2Processor.from_pretrained(TINY)
    record(
        path,
        tiny_model(dtype),
        processor,
        [picture(1)],
        "How many shapes?",
        **{"tokens": 2, "max_patches": 2, **options},
    )
    return read_golden(path)


def tiny_reference(golden: Golden) -> Reference:
    """Return what to compute the stages of such a run with."""
    return load_reference(golden, TINY)
