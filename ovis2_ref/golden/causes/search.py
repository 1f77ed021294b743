"""Find the mistakes that reproduce a wrong value, and prove it: with this one change the reference computes that value."""

from collections.abc import Container, Iterable
from fnmatch import fnmatchcase
from functools import partial
from itertools import combinations
from typing import NamedTuple

import numpy as np

from ovis2_ref.golden.bands import Bands, Fit, row_error
from ovis2_ref.golden.causes import Cause
from ovis2_ref.golden.causes.catalogue import CATALOGUE
from ovis2_ref.golden.replay import UNFIT, MissingInputError, Stages, segment
from ovis2_ref.golden.stages import Formula, Reference, Stage, numbered, spelled_out, split_number
from ovis2_ref.runtime.arrays import Array, is_half, widened
from ovis2_ref.runtime.weights import Weights

PAIRED_STAGES = 20
"""Stages from the recorded values to a wrong one within which two mistakes are searched for: a layer has 17."""


class Explanation(NamedTuple):
    """A mistake that is proved."""

    cause: Cause
    taps: tuple[str, ...]
    """The stages that it was made in: the wrong value's own, or some before it that were not recorded."""
    error: float
    """The error of the candidate's value against the reference with this mistake."""
    band: float
    """The largest error that rounding explains."""
    others: tuple["Explanation", ...] = ()
    """Further mistakes that reproduce the value within the band, less closely: this value can't tell them apart."""

    @property
    def names(self) -> tuple[str, ...]:
        """The mistake's name, and those of the others."""
        return (self.cause.name, *(other.cause.name for other in self.others))


def explain(
    bands: Bands,
    tap: str,
    value: Array,
    fit: Fit,
    error: float = np.inf,
    before: Container[str] = (),
    pairs: bool = True,
) -> tuple[Explanation, ...]:
    """Return the mistake, or the two mistakes, that reproduce `value` within the band of rounding; nothing if none do.

    error: that of the value against the stage's own formula, if it could be computed.
    before: mistakes that explain earlier values of the run. If one of them explains this one, too, no other is tried.
    pairs: try two mistakes, where one to `PAIRED_STAGES` stages before this one were not recorded.

    A mistake is made in every stage that it concerns between the value and its recorded inputs: a port repeats it in each
    layer. Of several mistakes that reproduce the value, the closest is named, and the others with it.
    """
    taps = segment(bands.stages, tap, bands.known)
    places: dict[str, dict[str, tuple[Cause, Stage]]] = {}
    for cause in CATALOGUE:
        for name, stage in with_mistake(cause, bands.stages, taps).items():
            places.setdefault(cause.name, {})[name] = cause, stage
    changed = {mistake: {name: stage for name, (_, stage) in made.items()} for mistake, made in places.items()}
    firsts = {mistake: next(iter(made.values()))[0] for mistake, made in places.items()}

    def proof(*mistakes: str) -> tuple[float, float] | None:
        stages = {name: stage for mistake in mistakes for name, stage in changed[mistake].items()}
        return _proof(bands, tap, value, fit, stages, error)

    for tried in ([mistake for mistake in changed if mistake in before], list(changed)):
        proved = [
            Explanation(firsts[mistake], tuple(changed[mistake]), *found)
            for mistake in tried
            if (found := proof(mistake)) is not None
        ]
        if proved:
            best, *others = sorted(proved, key=lambda each: each.error)
            return (best._replace(others=tuple(others)),)
    if not pairs or len(taps) > PAIRED_STAGES:
        return ()
    for pair in combinations(changed, 2):
        if not changed[pair[0]].keys() & changed[pair[1]].keys() and (both := proof(*pair)) is not None:
            return tuple(Explanation(firsts[mistake], tuple(changed[mistake]), *both) for mistake in pair)
    return ()


def with_mistake(cause: Cause, stages: Stages, taps: Iterable[str]) -> dict[str, Stage]:
    """Return those of the stages of `taps` that a mistake concerns, with the mistake in them."""
    changed = {}
    for tap in taps:
        name, step = split_number(tap)
        if step > 1 and cause.prompt_only:
            continue
        if any(fnmatchcase(name, pattern) for pattern in cause.stages):
            stage, inputs = stages[tap], stages[tap].inputs
            if cause.inputs is not None:
                formula = Formula(name.removeprefix(f"{stage.part}."), cause.inputs, cause.compute)
                (given,) = spelled_out([formula], stage.part, step, _of_each_picture(stages))
                inputs = (*inputs, *given.inputs) if cause.of_result else given.inputs
            changed[tap] = Stage(tap, inputs, stage.part, partial(_mistaken, cause, stage))
    return changed


def _mistaken(cause: Cause, stage: Stage, m: Reference, w: Weights, *inputs: Array) -> Array:
    """Return the stage's value with the mistake, computed in float32 where its inputs have 16 bits, and rounded at the end."""
    half = next((x.dtype for x in inputs if is_half(x.dtype)), None)
    wide = [widened(x) for x in inputs]
    if cause.of_result:
        wide.insert(0, widened(stage.compute(m, w, *wide[: len(stage.inputs)])))
    y = cause.compute(m, w, *wide)
    return y if half is None or y.dtype.kind in "iub" else y.astype(half)


def _of_each_picture(stages: Stages) -> dict[str, str | tuple[str, ...]]:
    """Return the inputs, those for each picture repeated for all pictures."""
    count = sum(split_number(tap)[0] == "image.grid" for tap in stages)
    return {
        f"each {name}": tuple(numbered(f"image.{name}", i) for i in range(1, count + 1))
        for name in ("picture", "grid", "canvas", "tiles")
    }


def _proof(
    bands: Bands, tap: str, value: Array, fit: Fit, changed: Stages, error_before: float
) -> tuple[float, float] | None:
    """Return error and band of the value against the reference with these stages changed, if the error is within the band."""
    try:
        truth = fit(bands.replay(changed=changed).stage(tap))
        if truth.shape != value.shape:
            return None
        if value.dtype.kind in "iub":
            return (0.0, 0.0) if np.array_equal(truth, value) else None
        error = row_error(value, truth)
        if error >= error_before:
            return None
        band = bands.band(tap, truth, fit, error, changed)
    except (MissingInputError, *UNFIT):
        return None  # the mistake can't be made with inputs of these shapes
    return (error, band) if error <= band else None
