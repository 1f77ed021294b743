"""Whole runs with a mistake in them: whether it is named, and whether the rules that people compare ports by would see it."""

import re
from collections.abc import Iterable, Iterator, Mapping
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

FEW = re.compile(
    r"image\.picture|pixel_values|input_ids|.*\.embeddings\.output|.*\.layers\.\d+\.output|.*\.tokens|.*\.inputs_embeds|lm_head\.output"
    r"|generated"
)
"""What a port dumps at first: about 20 values of a prompt's pass."""


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
    few: bool = False
    """Whether it is named first where `FEW` values are recorded."""


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
        named = self._named(values, [tap for tap in values if tap in changed])
        few = {tap: array for tap, array in values.items() if FEW.fullmatch(tap) or tap in self.given}
        first = self._named(few, [tap for tap in few if tap not in self.given])
        visible = named != (ROUNDING,)
        return Seen(mistake, visible, named if visible else (), rules(self.right, values), first[:1] == (mistake,))

    def _named(self, values: Values, taps: Iterable[str]) -> tuple[str, ...]:
        """Return what is named at the first wrong one of `taps`, where `values` were recorded."""
        bands = Bands(self.stages, self.reference, dict(values), self.claimed)
        found = (named_at(bands, tap, values[tap]) for tap in taps)
        return next((named for named in found if named != (ROUNDING,)), (ROUNDING,))

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
