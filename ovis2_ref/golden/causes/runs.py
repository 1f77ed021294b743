"""Whole runs with a mistake in them: whether it is named, and whether the rules that people compare ports by would see it."""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from ovis2_ref.golden.bands import Bands
from ovis2_ref.golden.causes.catalogue import CATALOGUE
from ovis2_ref.golden.causes.matrix import ROUNDING, named_at
from ovis2_ref.golden.causes.search import with_mistake
from ovis2_ref.golden.file import Golden
from ovis2_ref.golden.graph import given_pictures, run_stages
from ovis2_ref.golden.replay import UNFIT, MissingInputError, Replay, Stages
from ovis2_ref.golden.stages import Reference, Stage, split_number
from ovis2_ref.runtime.arrays import DTYPES, Array

Values = Mapping[str, Array]

NMSE_LIMIT = 1e-2
"""Of the last token's logits; what llama.cpp's tests of models take."""
COSINE_LIMIT = 0.99
"""Of the outputs of each layer."""


class Rules(NamedTuple):
    """Which of the usual rules see a mistake."""

    nmse: bool
    """The last token's logits differ by a normalised mean square error of `NMSE_LIMIT` or more."""
    cosine: bool
    """The outputs of a layer have a cosine below `COSINE_LIMIT`, or another shape."""
    top_token: bool
    """The most likely first token is another one."""
    answer: bool
    """The answer is another one."""


class Seen(NamedTuple):
    """What became of a mistake that was made in a whole run."""

    mistake: str
    visible: bool
    """Whether any value changed by more than rounding."""
    named: tuple[str, ...]
    """The mistakes that were named, the closest first; none if none is known."""
    rules: Rules


class ProbeRun:
    """A right run, and the same run with mistakes: every stage computed from the pictures on."""

    def __init__(self, golden: Golden, reference: Reference) -> None:
        """`golden`: a whole recording, in the type of which the runs are computed."""
        names = [split_number(tap) for tap in golden.names]
        pictures = sum(name == "image.picture" for name, _ in names)
        ended = golden.taps["generated"][0, -1] in reference.stop_tokens
        steps = max(step for name, step in names if name == "lm_head.output") + int(ended)  # a mistake may go on
        self.claimed = str(golden.metadata["dtype"])
        self.reference = reference
        self.stages = run_stages(reference.config, reference.convention, pictures, steps)
        self.given = given_pictures(golden.taps) if pictures else {"input_ids": golden.taps["input_ids"]}
        self.right = self.values({})

    def values(self, changed: Stages) -> dict[str, Array]:
        """Return all values of the run with these stages changed; those up to where it can't go on, if it can't."""
        dtype = DTYPES[self.claimed]
        replay = Replay({**self.stages, **changed}, self.reference, self.given, dtype, dtype)
        values = dict(self.given)
        for tap in self.stages:
            if tap not in values:
                try:
                    values[tap] = replay.value(tap)
                except UNFIT:
                    break
        return values

    def mistakes(self) -> dict[str, dict[str, Stage]]:
        """Return for each known mistake the stages that it changes: all of them, as in a port.

        Stages that can't have it are passed over (a weight that isn't square, transposed).
        """
        found: dict[str, dict[str, Stage]] = {}
        dtype = DTYPES[self.claimed]
        for cause in CATALOGUE:
            places = found.setdefault(cause.name, {})
            taps = [tap for tap in self.stages if tap not in self.given and not cause.recorded_only]
            for tap, stage in with_mistake(cause, self.stages, taps).items():
                replay = Replay({**self.stages, tap: stage}, self.reference, self.right, dtype, dtype)
                try:
                    replay.stage(tap)
                except (MissingInputError, *UNFIT):
                    continue
                places[tap] = stage
        return found

    def seen(self, mistake: str, changed: Stages) -> Seen:
        """Return what `compare` says of the run with a mistake: of its first wrong value."""
        values = self.values(changed)
        bands = Bands(self.stages, self.reference, values, self.claimed)
        named: tuple[str, ...] = (ROUNDING,)
        for tap in (tap for tap in values if tap in changed):
            named = named_at(bands, tap, values[tap])
            if named != (ROUNDING,):
                break
        return Seen(mistake, named != (ROUNDING,), () if named == (ROUNDING,) else named, rules(self.right, values))

    def all_seen(self) -> Iterator[Seen]:
        """Make every known mistake that this run has a stage for."""
        with np.errstate(all="ignore"):
            for mistake, changed in self.mistakes().items():
                if changed:
                    yield self.seen(mistake, changed)


def rules(right: Values, values: Values) -> Rules:
    """Return which of the usual rules tell the two runs apart: all, if the second one ends in an error."""
    if "generated" not in values:
        return Rules(True, True, True, True)
    logits = [run["lm_head.output"][0, -1].astype(np.float64) for run in (right, values)]
    error = np.square(logits[1] - logits[0]).sum() / np.square(logits[0]).sum()
    layers = [tap for tap in right if re.fullmatch(r".*\.layers\.\d+\.output(#\d+)?", tap)]
    return Rules(
        not error < NMSE_LIMIT,
        any(not cosine(right[tap], values[tap]) >= COSINE_LIMIT for tap in layers),
        logits[0].argmax() != logits[1].argmax(),
        not np.array_equal(right["generated"], values["generated"]),
    )


def cosine(a: Array, b: Array) -> float:
    """Return the cosine of the angle between two arrays; -1 if their shapes differ."""
    if a.shape != b.shape:
        return -1.0
    x, y = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))
