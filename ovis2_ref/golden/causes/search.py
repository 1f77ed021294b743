"""Find the mistakes that reproduce a wrong value, and prove it: with this one change the reference computes that value."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import replace
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

PAIRED = 32
"""Mistakes of which two are tried at once."""


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


class Trial(NamedTuple):
    """A mistake in some stages: all that it concerns, or one."""

    cause: Cause
    changed: dict[str, Stage]


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
    layer. If that explains nothing, it is made in one of these stages alone. Of several mistakes that reproduce the value, the
    closest is named, and the others with it. Of pairs those are tried whose mistakes come nearest by themselves, each in its
    nearest form.
    """
    taps = segment(bands.stages, tap, bands.known)
    whole = _trials(bands.stages, taps)
    named = [trial for trial in whole if trial.cause.name in before]
    single = [
        Trial(each.cause, {name: each.changed[name]})
        for each in whole
        if len(each.changed) > 1
        for name in each.changed
    ]
    errors: list[tuple[float, int, Trial]] = []
    for trials in (named, whole, single):
        proved = []
        for trial in trials:
            distance = _distance(bands, tap, value, fit, trial.changed)
            errors.append((distance, len(errors), trial))
            band = _proof(bands, tap, value, fit, trial.changed, distance, error)
            if band is not None:
                proved.append(Explanation(trial.cause, tuple(trial.changed), distance, band))
        if proved:
            best, *others = sorted(_of_different_names(proved), key=lambda each: each.error)
            return (best._replace(others=tuple(others)),)
    if not pairs or len(taps) > PAIRED_STAGES:
        return ()
    nearest: dict[str, Trial] = {}
    for _, _, trial in sorted(errors, key=lambda each: each[:2]):
        nearest.setdefault(trial.cause.name, trial)
    for first, second in combinations(list(nearest.values())[:PAIRED], 2):
        changed = _both(first, second, bands.stages)
        if changed is None:
            continue
        distance = _distance(bands, tap, value, fit, changed)
        band = _proof(bands, tap, value, fit, changed, distance, error)
        if band is not None:
            in_order = sorted((first, second), key=lambda one: taps.index(next(iter(one.changed))))
            return tuple(Explanation(one.cause, tuple(one.changed), distance, band) for one in in_order)
    return ()


def _trials(stages: Stages, taps: list[str]) -> list[Trial]:
    """Return each known mistake in all of these stages that it concerns, the last of which was recorded."""
    found: dict[str, Trial] = {}
    for cause in CATALOGUE:
        made = with_mistake(cause, stages, taps[-1:] if cause.recorded_only else taps)
        if made:
            found.setdefault(cause.name, Trial(cause, {})).changed.update(made)
    return list(found.values())


def _of_different_names(proved: list[Explanation]) -> list[Explanation]:
    """Return the closest explanation of each name."""
    best: dict[str, Explanation] = {}
    for each in sorted(proved, key=lambda each: each.error):
        best.setdefault(each.cause.name, each)
    return list(best.values())


def _both(first: Trial, second: Trial, stages: Stages) -> dict[str, Stage] | None:
    """Return the stages with two mistakes; None if both replace one stage, or are one mistake."""
    if first.cause.name == second.cause.name:
        return None
    if first.changed.keys().isdisjoint(second.changed):
        return first.changed | second.changed
    for one, other in ((first, second), (second, first)):
        if other.cause.of_result:  # it is made in the other one's result
            changed = {**stages, **one.changed}
            return one.changed | {tap: _changed(other.cause, changed, tap) for tap in other.changed}
    return None


def with_mistake(cause: Cause, stages: Stages, taps: Iterable[str]) -> dict[str, Stage]:
    """Return those of the stages of `taps` that a mistake concerns, with the mistake in them."""
    names = {tap: split_number(tap) for tap in taps}
    return {
        tap: _changed(cause, stages, tap)
        for tap, (name, step) in names.items()
        if (step == 1 or not cause.prompt_only) and any(fnmatchcase(name, pattern) for pattern in cause.stages)
    }


def _changed(cause: Cause, stages: Stages, tap: str) -> Stage:
    """Return a stage with a mistake in it."""
    stage, inputs = stages[tap], stages[tap].inputs
    name, step = split_number(tap)
    if cause.inputs is not None:
        formula = Formula(name.removeprefix(f"{stage.part}."), cause.inputs, stage.compute)
        (given,) = spelled_out([formula], stage.part, step, _of_each_picture(stages))
        inputs = (*inputs, *given.inputs) if cause.of_result else given.inputs
    return Stage(tap, inputs, stage.part, partial(_mistaken, cause, stage))


class OtherWeights(Mapping[str, Array]):
    """All weights, as a mistake has them."""

    def __init__(self, right: Mapping[str, Array], change: Callable[[Mapping[str, Array], str], Array]) -> None:
        self._right, self._change = right, change

    def __getitem__(self, name: str) -> Array:
        return self._change(self._right, name)

    def __contains__(self, name: object) -> bool:
        return name in self._right

    def __iter__(self) -> Iterator[str]:
        return iter(self._right)

    def __len__(self) -> int:
        return len(self._right)


def _mistaken(cause: Cause, stage: Stage, m: Reference, w: Weights, *inputs: Array) -> Array:
    """Return the stage's value with the mistake, computed in float32 where its inputs have 16 bits, and rounded at the end."""
    if cause.weights is not None:
        m = replace(m, weights=Weights(OtherWeights(m.weights.arrays, cause.weights)))
        w = Weights(m.weights.arrays, w.name)
    half = next((x.dtype for x in inputs if is_half(x.dtype)), None)
    wide = [widened(x) for x in inputs]
    if cause.of_result:
        wide.insert(0, widened(stage.compute(m, w, *wide[: len(stage.inputs)])))
    y = (cause.compute or stage.compute)(m, w, *wide)
    return y if half is None or y.dtype.kind in "iub" else y.astype(half)


def _of_each_picture(stages: Stages) -> dict[str, str | tuple[str, ...]]:
    """Return the inputs, those for each picture repeated for all pictures."""
    count = sum(split_number(tap)[0] == "image.grid" for tap in stages)
    return {
        f"each {name}": tuple(numbered(f"image.{name}", i) for i in range(1, count + 1))
        for name in ("picture", "grid", "canvas", "tiles")
    }


def _distance(bands: Bands, tap: str, value: Array, fit: Fit, changed: Stages) -> float:
    """Return the error of the value against the reference with these stages changed; infinite if they can't be computed."""
    try:
        truth = fit(bands.with_mistake(changed).stage(tap))
    except (MissingInputError, *UNFIT):
        return np.inf  # the mistake can't be made with inputs of these shapes
    if truth.shape != value.shape:
        return np.inf
    if value.dtype.kind in "iub":
        return 0.0 if np.array_equal(truth, value) else np.inf
    return row_error(value, truth)


def _proof(
    bands: Bands, tap: str, value: Array, fit: Fit, changed: Stages, distance: float, error_before: float
) -> float | None:
    """Return the band of the reference with these stages changed, if the value's distance from it is within the band."""
    if distance >= error_before or distance == np.inf:
        return None
    if value.dtype.kind in "iub":
        return 0.0
    try:
        truth = fit(bands.with_mistake(changed).stage(tap))
        band = bands.band(tap, truth, fit, distance, changed)
    except (MissingInputError, *UNFIT):
        return None
    return band if distance <= band else None
