"""Compare a candidate with a golden file: a verdict for each of its values, in execution order, and where an error comes from.

| verdict | meaning |
|---|---|
| equal | the bits of the golden file |
| rounding | what rounding alone makes of the candidate's own inputs |
| lower type | rounding, but that of a lower type than the candidate claims: computing in that type reproduces it |
| equivalent | differs, but what follows from it doesn't |
| inherited | right for its inputs, which are wrong |
| wrong | not what the formula gives for the candidate's own inputs |
| unchecked | neither the formula's inputs nor the golden value are there |
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ovis2_ref.golden.bands import Bands, Fit, row_error
from ovis2_ref.golden.causes.search import Explanation, explain
from ovis2_ref.golden.equivalence import reach
from ovis2_ref.golden.file import Golden
from ovis2_ref.golden.graph import run_stages
from ovis2_ref.golden.matching import Match, match_taps
from ovis2_ref.golden.replay import MissingInputError, ancestors
from ovis2_ref.golden.stages import Reference, Stage, split_number, without_masked
from ovis2_ref.runtime.arrays import DTYPES, Array

RIGHT = ("equal", "rounding", "lower type", "equivalent")


@dataclass
class Row:
    """What is known of one value of the candidate."""

    tap: str
    match: Match
    verdict: str = "unchecked"
    error: float | None = None
    """Of the value against its formula in float64, from the candidate's own inputs; see `row_error`."""
    band: float | None = None
    """The largest error that rounding explains."""
    difference: float | None = None
    """Of the value against the golden file's."""
    note: str = ""
    """The lower type, or the tap that an error is inherited from."""
    causes: tuple[Explanation, ...] = ()
    """The mistakes that reproduce a wrong value, the first one first."""


@dataclass
class Comparison:
    """The verdicts, in execution order, and the names that nothing was found for."""

    rows: list[Row]
    claimed: str
    unmatched: list[str] = field(default_factory=list)

    @property
    def passes(self) -> bool:
        """True if no value is wrong, and there is one at all."""
        return bool(self.rows) and not any(row.verdict in ("wrong", "inherited") for row in self.rows)

    def of(self, verdict: str) -> list[Row]:
        """The rows with this verdict."""
        return [row for row in self.rows if row.verdict == verdict]


def compare(
    golden: Golden, candidate: Golden, reference: Reference, names: Mapping[str, Any] | None = None
) -> Comparison:
    """Judge each value of `candidate`.

    `reference`: the weights (in the golden file's type), configuration and processor of the run. `names`: the candidate's
    names -> taps, see `names.py`; None tries those that are known.
    """
    claimed = str(candidate.metadata.get("dtype") or _widest(candidate))
    taps = {*golden.names, *candidate.names}
    steps = max((split_number(tap)[1] for tap in taps if not tap.startswith("image.")), default=1)
    pictures = max(
        (split_number(tap)[1] for tap in taps if tap.startswith("image.picture")), default=int("pixel_values" in taps)
    )
    stages = run_stages(reference.config, reference.convention, pictures, steps)
    found, unmatched = match_taps(golden, candidate, stages, names)
    known = {tap: match.array for tap, match in found.items() if match.rows is None}
    known = _shared_inputs(golden, known, stages) | known
    order = [*(tap for tap in found if tap not in stages), *(tap for tap in stages if tap in found)]
    judge = _Judge(golden, stages, Bands(stages, reference, known, claimed), known)
    return Comparison([judge.row(tap, found[tap]) for tap in order], claimed, unmatched)


def _shared_inputs(golden: Golden, known: Mapping[str, Array], stages: Mapping[str, Stage]) -> dict[str, Array]:
    """The golden file's inputs that the candidate didn't record, and that nothing which it did record says otherwise of."""

    def differs(tap: str) -> bool:
        return tap in known and (tap not in golden or not np.array_equal(known[tap], golden.taps[tap]))

    return {
        name: golden.taps[name]
        for name in golden.names
        if _is_input(name) and not any(differs(tap) for tap in ancestors(stages, name))
    }


def _widest(candidate: Golden) -> str:
    """The type of the candidate's numbers, where it doesn't say."""
    counts: dict[str, int] = {}
    for name in candidate.names:
        dtype = candidate.taps[name].dtype.name
        if dtype in DTYPES and "pixel_values" not in name:
            counts[dtype] = counts.get(dtype, 0) + 1
    return max(counts, key=lambda dtype: counts[dtype], default="float32")


def _is_input(tap: str) -> bool:
    return split_number(tap)[0] in ("image.picture", "pixel_values", "input_ids", "attention_mask", "position_ids")


class _Judge:
    """Goes through the taps in execution order and remembers which were wrong."""

    def __init__(self, golden: Golden, stages: Mapping[str, Stage], bands: Bands, known: Mapping[str, Array]) -> None:
        self._golden, self._stages, self._bands, self._known = golden, stages, bands, known
        self._wrong: dict[str, Row] = {}
        self._harmless: dict[str, str] = {}

    def row(self, tap: str, match: Match) -> Row:
        """The verdict on one value."""
        row = Row(tap, match)
        expected = self._golden_value(tap, match)
        if expected is not None:
            row.difference = row_error(match.array, expected)
        fit = Fit(match.array.shape, match.array.dtype, match.rows)
        try:
            truth = fit(self._bands.truth.stage(tap))
        except MissingInputError:
            self._against_golden(row, expected)
            return row
        except (ValueError, IndexError) as error:
            row.verdict, row.note = "wrong", f"can't be made of its inputs: {error}"
            self._wrong[tap] = row
            return row
        if truth.shape != match.array.shape:
            row.verdict, row.note = "wrong", f"has the shape {match.array.shape}; its inputs give {truth.shape}"
        elif match.array.dtype.kind in "iub":
            row.verdict = "rounding" if np.array_equal(truth, match.array) else "wrong"
        else:
            self._measure(row, truth, fit)
        self._finish(row, fit, truth, expected)
        return row

    def _golden_value(self, tap: str, match: Match) -> Array | None:
        """The golden file's value, where there is one of the same shape."""
        if tap not in self._golden or self._golden.rows(tap) is not None or match.rows is not None:
            return None
        expected = Fit(match.array.shape, match.array.dtype)(self._golden.taps[tap])
        return expected if expected.shape == match.array.shape else None

    def _against_golden(self, row: Row, expected: Array | None) -> None:
        """The verdict on a value that no formula is there for: an input, which has to be the golden file's."""
        if expected is None:
            return
        if row.match.array.dtype.kind in "iub":
            row.verdict = "equal" if np.array_equal(expected, row.match.array) else "wrong"
        else:
            row.error, row.band = row_error(row.match.array, expected), 2 * float(np.finfo(np.float32).eps)
            row.verdict = "wrong" if row.error > row.band else "rounding" if row.error else "equal"
        if row.verdict == "wrong":
            self._wrong[row.tap] = row

    def _measure(self, row: Row, truth: Array, fit: Fit) -> None:
        """The verdict on numbers that a formula is there for."""
        value = row.match.array
        if row.tap.partition("#")[0].endswith(".scores"):
            value = without_masked(value)
        value = value.astype(np.float64)
        row.error = row_error(value, truth)
        row.band = self._bands.band(row.tap, truth, fit)
        if row.error <= row.band:
            row.verdict = "rounding"
            return
        lower = self._bands.lower_type(row.tap, value, truth, fit)
        row.verdict, row.note = ("wrong", "") if lower is None else ("lower type", lower)

    def _finish(self, row: Row, fit: Fit, truth: Array, expected: Array | None) -> None:
        """What the verdict on a value is beside those on the values before it."""
        if row.verdict == "wrong":
            if row.match.array.shape == truth.shape:
                row.causes = explain(self._bands, row.tap, row.match.array, fit)
                changed = reach(self._bands, row.tap)
                if changed is not None:
                    row.verdict = "equivalent"
                    self._harmless |= dict.fromkeys(changed, row.tap)
                    return
            self._wrong[row.tap] = row
        elif expected is not None and expected.dtype == fit.dtype and np.array_equal(expected, row.match.array):
            row.verdict = "equal"
        elif row.verdict == "rounding":
            before = ancestors(self._stages, row.tap)
            origin = next((tap for tap in self._wrong if tap in before), None)
            if origin is not None:
                row.verdict, row.note = "inherited", f"from {origin}"
            elif row.tap in self._harmless:
                row.verdict, row.note = "equivalent", f"from {self._harmless[row.tap]}"
