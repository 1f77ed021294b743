"""Probes: pictures and prompts on which every known mistake changes something, and their golden files."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ovis2_ref.errors import InputError
from ovis2_ref.golden.file import Golden, read_golden
from ovis2_ref.golden.record import record
from ovis2_ref.model import Ovis2ForConditionalGeneration
from ovis2_ref.runtime.arrays import Array
from ovis2_ref.text.processor import Ovis2Processor

KEPT = (
    "image.*", "*.embeddings.*", "*.layers.0.*", "*.layers.[0-9].output", "*.transformer.rms_norm.output", "*.merged", "*.head_*",
    "*.vision_tower.tokens", "*_table.output", "*.embed_tokens.output", "*.inputs_embeds", "*.rotary_emb.*",
    "*.language_model.norm.output", "lm_head.output", "generated",
)  # fmt: skip
"""The taps in a pack's golden files: of the layers the first one whole, of the others the outputs."""
VALUES = 120_000
"""Bytes of values in each golden file of a pack, beside pictures, pixel values and names: a pack takes less than 2 MB."""


def impulses(height: int, width: int) -> Array:
    """Return a black picture (height, width, 3) with single lit pixels, each in one channel, and a white line across it.

    A resizing filter draws its own shape around a lone pixel, cut off where it overshoots.
    """
    picture = np.zeros((height, width, 3), np.uint8)
    for i, row in enumerate(range(5, height, 23)):
        for j, column in enumerate(range(7, width, 29)):
            picture[row, column, (i + j) % 3] = 255 - 12 * (i + j)
    picture[height // 2, :, :] = 255
    return picture


def uneven(height: int, width: int) -> Array:
    """Return noise on a slope that rises to the right and, less, downwards: no two tiles, patches or channels are alike."""
    generator = np.random.default_rng(height * width)
    slope = np.linspace(0, 120, width)[None, :, None] + np.linspace(0, 60, height)[:, None, None]
    return (slope + generator.integers(0, 70, (height, width, 3)) * [1.0, 0.7, 0.4]).astype(np.uint8)


def grey(height: int, width: int) -> Array:
    """Return levels next to the mean of the image processor: pixel values near 0, so that norms see small rows."""
    generator = np.random.default_rng(1)
    return (np.array([123, 117, 104]) + generator.integers(0, 2, (height, width, 3))).astype(np.uint8)


@dataclass(frozen=True)
class Probe:
    """One run: pictures, a prompt, settings."""

    shows: str
    """What it was made for."""
    pictures: tuple[Callable[[], Array], ...]
    prompt: str
    tokens: int = 2
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the processor's call."""
    generation: Mapping[str, Any] = field(default_factory=dict)
    """Entries of generation_config.json."""


HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
PROBES: dict[str, Probe] = {
    "impulses": Probe(
        "filters, antialias and the order of passes, on single pixels and on a strip; 2 tiles and a thumbnail",
        (lambda: uneven(202, 2), lambda: impulses(230, 100)),
        "How many dots?",
        options={"max_patches": 2},
    ),
    "wide": Probe(
        "the grid, transposed or of another size; the order of tiles, of rows and of columns",
        (lambda: uneven(120, 200),),
        "What is on the right?",
        options={"max_patches": 4},
    ),
    "grey": Probe(
        "epsilon of the norms, biases and means: rows near 0; one tile, no thumbnail",
        (lambda: grey(64, 64),),
        "What colour is it?",
    ),
    "pair": Probe(
        "two pictures with other means than the model's; a repetition penalty",
        (lambda: uneven(60, 130), lambda: uneven(60, 50)),
        "Which one is larger, the first one or the second one?",
        tokens=4,
        options={"max_patches": 2, **HALF},
        generation={"repetition_penalty": 3.0},
    ),
    "padded": Probe(
        "the mask and the positions of a prompt with padding before it; where an answer ends: here every token ends it",
        (),
        "Which is larger, a circle or a square?",
        options={"padding": "max_length", "max_length": 48},
        generation={"eos_token_id": list(range(512))},
    ),
    "text": Probe(
        "the language model alone; several steps under a repetition penalty",
        (),
        "Red, green, blue; circle, square, triangle; one, two, three. What is there?",
        tokens=6,
        generation={"repetition_penalty": 10.0},
    ),
}


def record_probe(
    path: Path,
    checkpoint: str | Path,
    name: str,
    convention: str = "transformers",
    only: Sequence[str] = (),
    budget: int | None = None,
) -> Golden:
    """Record the probe `name` in float32 with the model in the folder `checkpoint`, and return its golden file.

    `only`, `budget`: as in `record`.
    """
    probe = PROBES[name]
    model = Ovis2ForConditionalGeneration.from_pretrained(checkpoint, dtype="float32", convention=convention)
    model.generation_config = {**model.generation_config, **probe.generation}
    record(
        path,
        model,
        Ovis2Processor.from_pretrained(checkpoint, convention=convention),
        [picture() for picture in probe.pictures],
        probe.prompt,
        tokens=probe.tokens,
        only=only,
        budget=budget,
        **probe.options,
    )
    return read_golden(path)


def write_probes(folder: str | Path, checkpoint: str | Path, convention: str = "transformers") -> None:
    """Write each probe's pictures, and its golden file with rows of what is too large, and probes.json.

    Raises `InputError` if the folder can't be written.
    """
    from PIL import Image

    root = Path(folder)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} can't be made ({error.strerror}); give another folder with -o") from error
    index = {}
    for name, probe in PROBES.items():
        pictures = [f"{name}.{i}.png" for i in range(len(probe.pictures))]
        for file, picture in zip(pictures, probe.pictures, strict=True):
            Image.fromarray(picture()).save(root / file)
        index[name] = {
            "shows": probe.shows,
            "pictures": pictures,
            "prompt": probe.prompt,
            "tokens": probe.tokens,
            "options": dict(probe.options),
            "generation": dict(probe.generation),
            "golden": f"{name}.safetensors",
        }
        record_probe(root / f"{name}.safetensors", checkpoint, name, convention, KEPT, VALUES)
    (root / "probes.json").write_text(json.dumps(index, indent=1) + "\n", "utf-8")
