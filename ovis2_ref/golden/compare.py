"""Compare a candidate with a golden file: a verdict for each of its values, in execution order (see `judge.py`)."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np

from ovis2_ref.errors import InputError
from ovis2_ref.golden.bands import Bands
from ovis2_ref.golden.candidate import claimed_type, expect_possible, other_run
from ovis2_ref.golden.file import Golden
from ovis2_ref.golden.graph import given_pictures, run_stages
from ovis2_ref.golden.judge import ACCEPTED, Judge, Row
from ovis2_ref.golden.matching import Guess, match_taps
from ovis2_ref.golden.passes import VISUAL, join_parts, without_place
from ovis2_ref.golden.replay import ancestors
from ovis2_ref.golden.stages import Reference, Stage, is_input, split_number
from ovis2_ref.runtime.arrays import Array

LONGEST_ANSWER = 64
"""Tokens of an answer that are computed again, one pass each, where the passes themselves were not recorded."""
MOST_PASSES = 256
"""Passes, or pictures, of a run that is compared."""


@dataclass
class Comparison:
    """The verdicts in execution order, and the names without a tap."""

    rows: list[Row]
    claimed: str
    unmatched: list[str] = field(default_factory=list)
    guesses: list[Guess] = field(default_factory=list)
    """What some of the arrays without a tap are most like; no verdict rests on that."""
    remarks: list[str] = field(default_factory=list)
    """What the candidate says of itself that isn't so of the golden file: another prompt, picture or checkpoint."""
    strict: bool = False
    """True if values in a lower type, and wrong ones that change nothing, are not accepted."""

    @property
    def passes(self) -> bool:
        """True if no value is wrong, and there is one at all."""
        refused = ("wrong", "inherited", *(ACCEPTED if self.strict else ()))
        return bool(self.rows) and not any(row.verdict in refused for row in self.rows)

    def of(self, *verdicts: str) -> list[Row]:
        """Return the rows with one of these verdicts."""
        return [row for row in self.rows if row.verdict in verdicts]


def compare(
    golden: Golden,
    candidate: Golden,
    reference: Reference,
    names: Mapping[str, Any] | None = None,
    *,
    strict: bool = False,
    show: Callable[[list[str]], Iterable[str]] = iter,
) -> Comparison:
    """Judge each value of `candidate`.

    `reference`: the weights (in the golden file's type), configuration and processor of the run. `names`: the candidate's
    names -> taps, see `names.py`; None tries the known ones. `strict`: accept nothing but rounding. `show`: a progress bar that
    is given the taps.

    Raises `InputError` for a candidate that isn't of the format, or holds inputs that no run of this model can have.
    """
    claimed = claimed_type(candidate)
    remarks, stops = other_run(golden, candidate, reference)
    if stops:
        return Comparison([], claimed, remarks=remarks, strict=strict)
    pictures, steps = _counts(golden, candidate)
    stages = run_stages(reference.config, reference.convention, pictures, steps)
    matches = match_taps(golden, candidate, stages, names)
    join_parts(golden, matches)
    without_place(golden, matches, stages)
    found = matches.found
    known = {tap: match.array for tap, match in found.items() if match.rows is None}
    expect_possible(golden, known)
    known = given_pictures(golden.taps) | _shared_inputs(golden, known, stages) | known
    judge = Judge(golden, Bands(stages, reference, known, claimed), reference.config)
    misfits, again = dict(matches.misfits), defaultdict(list)
    for tap, match in matches.again:
        again[tap].append(match)
    order = [
        *(tap for tap in {**found, **misfits} if tap not in stages),
        *(tap for tap in stages if tap in found or tap in misfits),
    ]
    rows: list[Row] = []
    for tap in show(order):
        rows += [judge.misfit(tap, misfits[tap])] if tap in misfits else []
        rows += [judge.row(tap, match) for match in ([found[tap]] if tap in found else []) + again[tap]]
    _settle(rows)
    return Comparison(rows, claimed, matches.unmatched, matches.guesses, remarks, strict)


def _counts(golden: Golden, candidate: Golden) -> tuple[int, int]:
    """Return the number of pictures and of passes of the run: those that are recorded from the first one on, without a gap."""
    numbers: dict[bool, set[int]] = {True: {1}, False: {1}}
    for tap in {*golden.names, *candidate.names}:
        name, number = split_number(tap)
        if name.startswith("image.") or not name.startswith(VISUAL):
            numbers[name.startswith("image.")].add(number)
    pictures, steps = (next(i for i in count(1) if i + 1 not in numbers[kind]) for kind in (True, False))
    answer = np.atleast_1d(candidate.taps["generated"]).shape[-1] if "generated" in candidate else 0
    if steps < answer <= LONGEST_ANSWER:
        steps = answer
    if max(pictures, steps) > MOST_PASSES:
        raise InputError(
            f"the files hold {max(pictures, steps)} passes or pictures; at most {MOST_PASSES} are compared"
        )
    taps = {*golden.names, *candidate.names}
    return (pictures if any(tap.startswith(("image.picture", "pixel_values")) for tap in taps) else 0), steps


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
