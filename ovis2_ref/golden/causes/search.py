"""Find the mistakes that reproduce a wrong value, and prove it: with this one change the reference computes that value."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from itertools import combinations
from typing import NamedTuple

import numpy as np

from ovis2_ref.golden.bands import Bands, Fit, row_error
from ovis2_ref.golden.causes import Cause
from ovis2_ref.golden.causes.catalogue import CATALOGUE
from ovis2_ref.golden.replay import UNFIT, MissingInputError, Stages, segment
from ovis2_ref.golden.stages import Formula, Stage, numbered, spelled_out, split_number
from ovis2_ref.runtime.arrays import Array


class Explanation(NamedTuple):
    """A mistake that is proved."""

    cause: Cause
    taps: tuple[str, ...]
    """The stages that it was made in: the wrong value's own, or some before it that were not recorded."""
    error: float
    """Of the candidate's value against the reference with this mistake."""
    band: float
    """The largest error that rounding explains."""


def explain(bands: Bands, tap: str, value: Array, fit: Fit, error: float = np.inf) -> tuple[Explanation, ...]:
    """The mistake, or the two mistakes, that reproduce `value` within the band of rounding; nothing if none do.

    `error` is that of the value against the stage's own formula, if it could be computed.

    A mistake is made in every stage that it concerns between the value and its recorded inputs: a port repeats it in each layer.
    Two are tried only where several stages were not recorded in between.
    """
    taps = segment(bands.stages, tap, bands.known)
    places = {cause: changed for cause in CATALOGUE if (changed := with_mistake(cause, bands.stages, taps))}
    pairs = [pair for pair in combinations(places, 2) if not set(places[pair[0]]) & set(places[pair[1]])]
    for mistakes in [*((cause,) for cause in places), *pairs]:
        changed = {name: stage for cause in mistakes for name, stage in places[cause].items()}
        proof = _proof(bands, tap, value, fit, changed, error)
        if proof is not None:
            return tuple(Explanation(cause, tuple(places[cause]), *proof) for cause in mistakes)
    return ()


def with_mistake(cause: Cause, stages: Stages, taps: Iterable[str]) -> dict[str, Stage]:
    """Those of the stages of `taps` that a mistake concerns, with the mistake in them."""
    changed = {}
    for tap in taps:
        name, step = split_number(tap)
        if step > 1 and cause.prompt_only:
            continue
        if any(fnmatchcase(name, pattern) for pattern in cause.stages):
            stage = stages[tap]
            if cause.inputs is not None:
                formula = Formula(name.removeprefix(f"{stage.part}."), cause.inputs, cause.compute)
                (stage,) = spelled_out([formula], stage.part, step, _of_each_picture(stages))
            changed[tap] = stage._replace(compute=cause.compute)
    return changed


def _of_each_picture(stages: Stages) -> dict[str, str | tuple[str, ...]]:
    """The inputs that mean one value of every picture."""
    count = sum(split_number(tap)[0] == "image.grid" for tap in stages)
    return {
        f"each {name}": tuple(numbered(f"image.{name}", i) for i in range(1, count + 1))
        for name in ("picture", "grid", "canvas", "tiles")
    }


def _proof(
    bands: Bands, tap: str, value: Array, fit: Fit, changed: Stages, error_before: float
) -> tuple[float, float] | None:
    """Error and band of the value against the reference with these stages changed, if the error is within the band."""
    try:
        truth = fit(bands.replay(changed=changed).stage(tap))
        if truth.shape != value.shape:
            return None
        if value.dtype.kind in "iub":
            return (0.0, 0.0) if np.array_equal(truth, value) else None
        error = row_error(value, truth)
        if error >= error_before:
            return None
        band = bands.band(tap, truth, fit, changed)
    except (MissingInputError, *UNFIT):
        return None  # the mistake can't be made with inputs of these shapes
    return (error, band) if error <= band else None
