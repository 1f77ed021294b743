"""Judge each value of a candidate.

| verdict | meaning |
|---|---|
| equal | the bits of the golden file |
| rounding | the formula's value for the candidate's own inputs, up to rounding |
| lower type | rounding, but that of a lower type than the candidate claims: computing in that type reproduces it |
| equivalent | differs, but the values that follow from it don't |
| inherited | right for its inputs, which are wrong |
| wrong | not what the formula gives for the candidate's own inputs |
| unchecked | neither the formula's inputs nor the golden value were recorded |
"""

from dataclasses import dataclass

import numpy as np

from ovis2_ref.golden.bands import Bands, Fit, row_error
from ovis2_ref.golden.causes.search import Explanation, explain
from ovis2_ref.golden.equivalence import reach
from ovis2_ref.golden.file import Golden
from ovis2_ref.golden.matching import Match
from ovis2_ref.golden.replay import UNFIT, MissingInputError, ancestors
from ovis2_ref.golden.stages import is_input, split_number, without_masked
from ovis2_ref.runtime.arrays import Array

RIGHT = ("equal", "rounding", "lower type", "equivalent")


@dataclass
class Row:
    """The verdict on one value of the candidate."""

    tap: str
    match: Match
    verdict: str = "unchecked"
    error: float | None = None
    """The error of the value against its formula in float64, from the candidate's own inputs; see `row_error`."""
    band: float | None = None
    """The largest error that rounding explains."""
    difference: float | None = None
    """The error of the value against the golden file's."""
    note: str = ""
    """The lower type, or the tap that an error is inherited from."""
    causes: tuple[Explanation, ...] = ()
    """The mistakes that reproduce a wrong value, the first one first."""


class Judge:
    """Judges the taps in execution order, and remembers which were wrong."""

    def __init__(self, golden: Golden, bands: Bands) -> None:
        """Judge by the bands of a candidate's values."""
        self._golden, self._bands = golden, bands
        self._inputs = {name: golden.taps[name] for name in golden.names if is_input(name)}
        self._wrong: dict[str, Row] = {}
        self._harmless: dict[str, str] = {}

    def row(self, tap: str, match: Match) -> Row:
        """Return the verdict on one value."""
        row = Row(tap, match)
        value = without_masked(match.array) if split_number(tap)[0].endswith(".scores") else match.array
        expected = self._golden_value(tap, match)
        if expected is not None:
            row.difference = row_error(value, without_masked(expected) if value is not match.array else expected)
        fit = Fit(value.shape, value.dtype, match.rows)
        try:
            truth = fit(self._bands.truth.stage(tap))
            self._by_formula(row, value, truth, fit)
        except MissingInputError:
            self._by_golden(row, value, expected)
        except UNFIT as error:
            row.verdict, row.note = "wrong", f"can't be made of its inputs ({type(error).__name__})"
        if expected is not None and expected.dtype == value.dtype and np.array_equal(expected, match.array):
            row.verdict, row.note = "equal", ""
        elif row.verdict == "wrong":
            self._account_for(row, value, fit)
        elif row.verdict == "rounding":
            self._look_back(row)
        return row

    def _golden_value(self, tap: str, match: Match) -> Array | None:
        """Return the golden file's value, where there is one of the same shape."""
        if tap not in self._golden or self._golden.rows(tap) is not None or match.rows is not None:
            return None
        expected = Fit(match.array.shape, match.array.dtype)(self._golden.taps[tap])
        return expected if expected.shape == match.array.shape else None

    def _by_golden(self, row: Row, value: Array, expected: Array | None) -> None:
        """Judge a value without a formula, an input, which has to equal the golden file's."""
        if expected is None:
            return
        row.error, row.band = row_error(value, expected), 2 * float(np.finfo(np.float32).eps)
        row.verdict = "wrong" if row.error > row.band else "rounding"

    def _by_formula(self, row: Row, value: Array, truth: Array, fit: Fit) -> None:
        """Judge a value by its formula's value for the candidate's own inputs."""
        if truth.shape != value.shape:
            row.verdict, row.note = "wrong", f"has the shape {value.shape}; its inputs give {truth.shape}"
        elif value.dtype.kind in "iub":
            row.verdict = "rounding" if np.array_equal(truth, value) else "wrong"
        else:
            row.error = row_error(value, truth)
            row.band = self._bands.band(row.tap, truth, fit, row.error)
            row.verdict = "rounding" if row.error <= row.band else "wrong"
            if row.verdict == "wrong":
                lower = self._bands.lower_type(row.tap, value.astype(np.float64), truth, fit)
                row.verdict, row.note = ("wrong", "") if lower is None else ("lower type", lower)

    def _account_for(self, row: Row, value: Array, fit: Fit) -> None:
        """Find why a value is wrong, and whether that matters."""
        error = np.inf if row.error is None else row.error
        named = {name for each in self._wrong.values() for cause in each.causes for name in cause.names}
        row.causes = explain(
            self._bands, row.tap, value, fit, error, named, pairs=all(r.causes for r in self._wrong.values())
        )
        changed = reach(self._bands, row.tap, self._inputs)
        if changed is None:
            self._wrong[row.tap] = row
        else:
            row.verdict = "equivalent"
            self._harmless |= dict.fromkeys(changed, row.tap)

    def _look_back(self, row: Row) -> None:
        """Check whether a value that is right for its inputs comes from wrong ones."""
        before = ancestors(self._bands.stages, row.tap)
        origin = next((tap for tap in self._wrong if tap in before), None)
        if origin is not None:
            row.verdict, row.note = "inherited", f"from {origin}"
        elif row.tap in self._harmless:
            row.verdict, row.note = "equivalent", f"from {self._harmless[row.tap]}"
