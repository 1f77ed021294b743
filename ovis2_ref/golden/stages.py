"""The stages of a run: for each value of a configuration its inputs and its formula, in execution order."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from ml_dtypes import finfo

from ovis2_ref.checkpoint.names import VISION, VISUAL_EMBEDDINGS
from ovis2_ref.config import Ovis2Config
from ovis2_ref.convention import Convention
from ovis2_ref.golden.arithmetic import PLAIN, Arithmetic
from ovis2_ref.runtime.arrays import DTYPES, Array
from ovis2_ref.runtime.weights import Weights

VIT = f"{VISION}.transformer"
TABLE = VISUAL_EMBEDDINGS.removesuffix(".weight")
GIVEN = "image.given"
"""The upright picture that the golden file was recorded from: what a port should have decoded."""
INPUTS = ("image.picture", "pixel_values", "input_ids", "attention_mask", "position_ids")
"""The inputs of a run, which are always recorded: without them nothing can be computed again."""

INTEGERS = (
    "image.picture", "image.grid", "image.canvas", "image.tiles", "input_ids", "attention_mask", "position_ids", "generated",
)  # fmt: skip
"""The values that are whole numbers."""


@dataclass(frozen=True)
class Reference:
    """The model that the formulas of the stages are computed with."""

    weights: Weights
    """All weights, in the type of the computation."""
    config: Ovis2Config
    convention: Convention
    arithmetic: Arithmetic = PLAIN
    processor: Any = None
    """The `Ovis2Processor` that made the run's inputs; without one, they are not computed."""
    prompt: str | None = None
    """The prompt of the run, with <image> where pictures go."""
    repetition_penalty: float = 1.0
    stop_tokens: tuple[int, ...] = ()
    """The tokens that end an answer."""
    pad_token: int | None = None
    """The token that fills the rows of a batch."""
    dtype: np.dtype = DTYPES["float64"]
    """The type of the computation."""


class Formula(NamedTuple):
    """A value's name inside its part, its inputs' names there, and its formula."""

    tap: str
    inputs: tuple[str, ...]
    """Names inside the part; a name that begins with "/" is a whole name."""
    compute: Callable[..., Array]
    """compute(reference, weights of the part, *inputs)"""


class Stage(NamedTuple):
    """A `Formula` with whole names."""

    tap: str
    inputs: tuple[str, ...]
    part: str
    compute: Callable[..., Array]


Aliases = Mapping[str, str | tuple[str, ...]]


def spelled_out(
    formulas: Sequence[Formula], part: str, step: int = 1, aliases: Aliases | None = None
) -> Iterator[Stage]:
    """Yield the stages of a part such as "model.vision_tower.transformer.encoder.layers.3", in the run's `step`-th pass.

    `aliases`: input -> the whole name, or names, of its value, such as "input" -> the output of the layer before.
    """
    for formula in formulas:
        inputs: list[str] = []
        for name in formula.inputs:
            whole = (aliases or {}).get(name)
            if whole is None:
                whole = numbered(name[1:] if name.startswith("/") else f"{part}.{name}" if part else name, step)
            inputs += [whole] if isinstance(whole, str) else whole
        tap = f"{part}.{formula.tap}" if part else formula.tap
        yield Stage(numbered(tap, step), tuple(inputs), part, formula.compute)


def numbered(tap: str, step: int) -> str:
    """Return the name of a tap in the `step`-th pass, from 1."""
    return tap if step == 1 else f"{tap}#{step}"


@lru_cache(maxsize=2**16)
def split_number(tap: str) -> tuple[str, int]:
    """Return the name of a tap without its pass, and its pass."""
    match = re.fullmatch(r"(.*)#([1-9]\d{0,5})", tap)
    return (match[1], int(match[2])) if match else (tap, 1)


def is_input(tap: str) -> bool:
    """Return True for the inputs of a run: pictures, pixel values, ids, mask and positions."""
    return split_number(tap)[0] in INPUTS


def without_masked(scores: Array) -> Array:
    """Return scores with -infinity where they are masked, so that the lowest numbers of types are not compared."""
    with np.errstate(over="ignore"):
        return np.where(scores <= finfo(scores.dtype).min / 2, -np.inf, scores).astype(scores.dtype)
