"""Compare a candidate with a golden file: a verdict for each of its values, in execution order (see `judge.py`)."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ovis2_ref.golden.bands import Bands
from ovis2_ref.golden.file import Golden
from ovis2_ref.golden.graph import given_pictures, run_stages
from ovis2_ref.golden.judge import Judge, Row
from ovis2_ref.golden.matching import match_taps
from ovis2_ref.golden.replay import ancestors
from ovis2_ref.golden.stages import Reference, Stage, is_input, split_number
from ovis2_ref.runtime.arrays import DTYPES, Array

LONGEST_ANSWER = 64
"""Tokens of an answer that are computed again, one pass each, where the passes themselves were not recorded."""


@dataclass
class Comparison:
    """The verdicts in execution order, and the names without a tap."""

    rows: list[Row]
    claimed: str
    unmatched: list[str] = field(default_factory=list)

    @property
    def passes(self) -> bool:
        """True if no value is wrong, and there is one at all."""
        return bool(self.rows) and not any(row.verdict in ("wrong", "inherited") for row in self.rows)

    def of(self, verdict: str) -> list[Row]:
        """Return the rows with this verdict."""
        return [row for row in self.rows if row.verdict == verdict]


def compare(
    golden: Golden, candidate: Golden, reference: Reference, names: Mapping[str, Any] | None = None
) -> Comparison:
    """Judge each value of `candidate`.

    `reference`: the weights (in the golden file's type), configuration and processor of the run. `names`: the candidate's
    names -> taps, see `names.py`; None tries the known ones.
    """
    claimed = str(candidate.metadata.get("dtype") or _widest(candidate))
    taps = {*golden.names, *candidate.names}
    steps = max((split_number(tap)[1] for tap in taps if not tap.startswith("image.")), default=1)
    answer = np.atleast_1d(candidate.taps["generated"]).shape[-1] if "generated" in candidate else 0
    if steps < answer <= LONGEST_ANSWER:
        steps = answer
    pictures = max(
        (split_number(tap)[1] for tap in taps if tap.startswith("image.picture")), default=int("pixel_values" in taps)
    )
    stages = run_stages(reference.config, reference.convention, pictures, steps)
    found, unmatched = match_taps(golden, candidate, stages, names)
    known = {tap: match.array for tap, match in found.items() if match.rows is None}
    known = given_pictures(golden.taps) | _shared_inputs(golden, known, stages) | known
    order = [*(tap for tap in found if tap not in stages), *(tap for tap in stages if tap in found)]
    judge = Judge(golden, Bands(stages, reference, known, claimed))
    rows = [judge.row(tap, found[tap]) for tap in order]
    _settle(rows)
    return Comparison(rows, claimed, unmatched)


def _settle(rows: list[Row]) -> None:
    """Where several mistakes explain a value, leave those that explain the most values, the closest first."""
    alone = [row for row in rows if len(row.causes) == 1]
    values = Counter(name for row in alone for name in row.causes[0].names)
    for row in alone:
        each = (row.causes[0], *row.causes[0].others)
        most = max(values[one.cause.name] for one in each)
        best, *others = [one for one in each if values[one.cause.name] == most]
        row.causes = (best._replace(others=tuple(others)),)


def _shared_inputs(golden: Golden, known: Mapping[str, Array], stages: Mapping[str, Stage]) -> dict[str, Array]:
    """Return the golden file's inputs that the candidate didn't record and that its own values don't contradict."""

    def differs(tap: str) -> bool:
        return tap in known and (tap not in golden or not np.array_equal(known[tap], golden.taps[tap]))

    return {
        name: golden.taps[name]
        for name in golden.names
        if is_input(name)
        and split_number(name)[0] != "image.picture"
        and not any(differs(tap) for tap in ancestors(stages, name))
    }


def _widest(candidate: Golden) -> str:
    """Return the widest type of the candidate's numbers, for a candidate that doesn't claim one."""
    counts: dict[str, int] = {}
    for name in candidate.names:
        dtype = candidate.taps[name].dtype.name
        if dtype in DTYPES and "pixel_values" not in name:
            counts[dtype] = counts.get(dtype, 0) + 1
    return max(counts, key=lambda dtype: counts[dtype], default="float32")
