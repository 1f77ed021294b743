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

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ovis2_ref.checkpoint.names import TEXT
from ovis2_ref.config import Ovis2Config
from ovis2_ref.golden.bands import Bands, Fit, not_finite, row_error
from ovis2_ref.golden.causes.search import Explanation, explain
from ovis2_ref.golden.differences import describe
from ovis2_ref.golden.equivalence import reach
from ovis2_ref.golden.file import Golden
from ovis2_ref.golden.layouts import arrange
from ovis2_ref.golden.matching import Match, shape_of
from ovis2_ref.golden.passes import VISUAL
from ovis2_ref.golden.replay import UNFIT, MissingInputError, ancestors
from ovis2_ref.golden.stages import is_input, split_number, without_masked
from ovis2_ref.runtime.arrays import Array

ACCEPTED = ("lower type", "equivalent")
"""Verdicts on values that differ by more than rounding, and are not wrong."""
TURNED = ("rotary_emb.cos", "rotary_emb.sin", ".q_rotated", ".k_rotated")
"""Values that another start of the positions changes, and nothing after them. No other wrong value is excused: a factor before a
norm changes nothing, either, and is a mistake."""
SCALED = "scaled by head_dim^-1/2 before the product"
UNMASKED = "before the mask"
BATCH_PIXELS = 1e-5
"""The error of a picture's values by which it is found in a batch: far above rounding in float32, far below any mistake."""


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
    """The lower type, the tap that an error is inherited from, the form that was taken, or how a value differs."""
    causes: tuple[Explanation, ...] = ()
    """The mistakes that reproduce a wrong value, the first one first."""


class Judge:
    """Judges the taps in execution order, and remembers which were wrong."""

    def __init__(self, golden: Golden, bands: Bands, config: Ovis2Config) -> None:
        """Judge by the bands of a candidate's values."""
        self._golden, self._bands, self._config = golden, bands, config
        self._inputs = {name: golden.taps[name] for name in golden.names if is_input(name)}
        self._wrong: dict[str, Row] = {}
        self._harmless: dict[str, str] = {}

    def misfit(self, tap: str, match: Match) -> Row:
        """Return the verdict on an array that has the name of a tap and a shape that the tap can't have."""
        expected = shape_of(self._golden, split_number(tap)[0])
        assert expected is not None
        found, wanted = shape_words(tap, match.array.shape), shape_words(tap, expected)
        row = Row(tap, match, "wrong", note=f"has the shape {found}; the golden file's is {wanted}")
        self._wrong[tap] = row
        return row

    def row(self, tap: str, match: Match) -> Row:
        """Return the verdict on one value."""
        row = Row(tap, match)
        value = without_masked(match.array) if split_number(tap)[0].endswith(".scores") else match.array
        hidden = self._padding(tap, match.whole or value.shape)
        fit = Fit(value.shape, value.dtype, match.rows, hidden, match.whole)
        value = fit.without_padding(value)
        expected = self._golden_value(tap, match)
        if expected is not None:
            row.difference = row_error(value, without_masked(expected) if value is not match.array else expected)
        truth = None
        try:
            truth = fit(self._bands.truth.stage(tap))
            value = self._laid_out(row, value, truth)
            fit = fit._replace(shape=value.shape)
            value = self._by_formula(row, value, truth, fit)
        except MissingInputError:
            self._by_golden(row, value, expected)
        except UNFIT as error:
            row.verdict, row.note = "wrong", f"can't be made of its inputs ({type(error).__name__})"
        if expected is not None and expected.dtype == value.dtype and np.array_equal(expected, match.array):
            row.verdict, row.note = "equal", ""
        elif row.verdict == "wrong":
            self._account_for(row, value, truth, fit)
        elif row.verdict == "rounding":
            self._look_back(row)
        return row

    def _padding(self, tap: str, shape: tuple[int, ...]) -> Array | None:
        """Return true for the rows of padding tokens in a value of the prompt's pass, whose numbers are of no use to anyone."""
        mask = self._bands.known.get("attention_mask")
        name, step = split_number(tap)
        tokens = (
            (shape[0], shape[-2]) if len(shape) in (3, 4) else ()
        )  # (batch, tokens, hidden), (batch, heads, tokens, keys)
        if mask is None or step > 1 or not name.startswith(TEXT) or tokens != mask.shape or mask.all():
            return None
        hidden = (mask == 0)[:, None] if len(shape) == 4 else mask == 0
        return np.broadcast_to(hidden, shape[:-1]).reshape(-1)

    def _laid_out(self, row: Row, value: Array, truth: Array) -> Array:
        """Return a value that the golden file doesn't have in the layout of the true one, if it has that in another."""
        if value.shape == truth.shape or truth.dtype.kind in "iub" or row.match.rows is not None:
            return value
        layout = arrange(value, truth.shape, lambda: truth)
        if layout is None or layout.array.shape != truth.shape or row.tap == "pixel_values":
            return value
        row.match = replace(row.match, array=layout.array, how=", ".join(filter(None, (row.match.how, layout.how))))
        self._bands.known[row.tap] = layout.array
        return layout.array

    def _golden_value(self, tap: str, match: Match) -> Array | None:
        """Return the golden file's value, or those of its rows that the candidate kept, where there is one of the same shape."""
        if tap not in self._golden or self._golden.rows(tap) is not None:
            return None
        expected = self._golden.taps[tap]
        expected = Fit(match.array.shape, match.array.dtype, match.rows, None, match.whole)(expected)
        return expected if expected.shape == match.array.shape else None

    def _by_golden(self, row: Row, value: Array, expected: Array | None) -> None:
        """Judge a value without a formula, an input, which has to equal the golden file's."""
        if expected is None:
            return
        row.error, row.band = row_error(value, expected), 2 * float(np.finfo(np.float32).eps)
        row.verdict = "wrong" if row.error > row.band else "rounding"

    def _by_formula(self, row: Row, value: Array, truth: Array, fit: Fit) -> Array:
        """Judge a value by its formula's value for the candidate's own inputs; return it, or the form of it that is right."""
        if truth.dtype.kind in "iub" or (row.tap == "pixel_values" and truth.shape != value.shape):
            row.verdict, row.note = self._input(row.tap, value, truth)
            return value
        if truth.shape != value.shape:
            row.verdict = "wrong"
            row.note = other_shape(row.tap, value.shape, truth.shape)
            return value
        for form, note in self._forms(row.tap, value, truth):
            row.error = row_error(form, truth)
            row.band = self._bands.band(row.tap, truth, fit, row.error)
            if row.error <= row.band:
                row.verdict, row.note = "rounding", note
                if note:
                    self._replace(row, form, note)
                return form
        row.error = row_error(value, truth)
        lower = self._bands.lower_type(row.tap, value.astype(np.float64), truth, fit)
        row.verdict, row.note = ("wrong", "") if lower is None else ("lower type", lower)
        return value

    def _forms(self, tap: str, value: Array, truth: Array) -> Iterator[tuple[Array, str]]:
        """Yield the value, then forms of it that right programs have, too: q scaled early, scores before their mask."""
        yield value, ""
        name = split_number(tap)[0]
        if name.endswith((".q_rotated", "attention.q_proj.output", "self_attn.q_proj.output")):
            config = self._config.text_config if name.startswith(TEXT) else self._config.vision_config
            yield value * value.dtype.type(config.head_dim**0.5), SCALED
        masked = truth == -np.inf
        if name.endswith(".scores") and masked.any() and np.isfinite(value).all():
            yield np.where(masked, value.dtype.type(-np.inf), value), UNMASKED

    def _replace(self, row: Row, form: Array, note: str) -> None:
        """Take the form for what follows. Unmasked scores are not used: what follows has to show the mask."""
        if row.tap in self._bands.known:
            if note == UNMASKED:
                del self._bands.known[row.tap]
            else:
                self._bands.known[row.tap] = form

    def _input(self, tap: str, value: Array, truth: Array) -> tuple[str, str]:
        """Judge whole numbers, which have to be equal, and inputs of other counts: those of a batch hold the golden run's."""
        if np.array_equal(value, truth):
            return "rounding", ""
        mask = self._bands.known.get("attention_mask")
        padded = tap == "position_ids" and mask is not None and value.shape == truth.shape == mask.shape
        if padded and not ((value != truth) & (mask != 0)).any():
            return "rounding", ""
        if tap == "input_ids" and truth.ndim == value.ndim == 2:
            mask = self._bands.truth.value("attention_mask")
            pairs = zip(value, mask, strict=True) if mask.shape == value.shape else ()
            if any(np.array_equal(ids[seen != 0], truth[0]) for ids, seen in pairs):
                return "rounding", f"a batch of {len(value)} with padding" if len(value) > 1 else "with padding"
        if tap == "pixel_values" and value.shape[1:] == truth.shape[1:]:
            starts = range(len(value) - len(truth) + 1)
            if any(row_error(value[start : start + len(truth)], truth) < BATCH_PIXELS for start in starts):
                return "rounding", "pictures of a batch"
        if value.shape != truth.shape:
            return "wrong", other_shape(tap, value.shape, truth.shape)
        return "wrong", ""

    def _account_for(self, row: Row, value: Array, truth: Array | None, fit: Fit) -> None:
        """Find why a value is wrong, and whether that matters; say how it differs where no mistake explains it."""
        if truth is not None and truth.shape == value.shape and not_finite(value, truth).any():
            self._wrong[row.tap] = row
            row.note = describe(row.tap, value, truth, self._others)
            return
        error = np.inf if row.error is None else row.error
        named = {name for each in self._wrong.values() for cause in each.causes for name in cause.names}
        row.causes = explain(
            self._bands, row.tap, value, fit, error, named, pairs=all(r.causes for r in self._wrong.values())
        )
        turned = split_number(row.tap)[0].endswith(TURNED) or row.tap in self._harmless
        changed = reach(self._bands, row.tap, self._inputs) if turned else None
        if changed is not None:
            row.verdict = "equivalent"
            self._harmless |= dict.fromkeys(changed, row.tap)
            return
        self._wrong[row.tap] = row
        if not row.causes and not row.note and truth is not None and truth.shape == value.shape:
            row.note = describe(row.tap, value, truth, self._others)

    def _others(self) -> Iterator[tuple[str, Array]]:
        """Yield the candidate's recorded values."""
        yield from self._bands.known.items()

    def _look_back(self, row: Row) -> None:
        """Check whether a value that is right for its inputs comes from wrong ones."""
        before = ancestors(self._bands.stages, row.tap)
        origin = next((tap for tap in self._wrong if tap in before), None)
        if origin is not None:
            row.verdict, row.note = "inherited", f"from {origin}"
        elif row.tap in self._harmless:
            row.verdict, row.note = "equivalent", f"from {self._harmless[row.tap]}"


def other_shape(tap: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """Return in words that a value has another shape than its inputs give."""
    words = f"has the shape {shape_words(tap, found)}; its inputs give {shape_words(tap, wanted)}"
    if tap.startswith(VISUAL) and found[1:] == wanted[1:] and found[0] < wanted[0]:
        words += f": {found[0]} of {wanted[0]} tiles; record all of them, or a golden file of a picture of one tile"
        words += ' (golden/README.md, "How to dump")'
    return words


def shape_words(tap: str, shape: tuple[int, ...]) -> str:
    """Return a shape in words; a picture's is its height and width."""
    if split_number(tap)[0] == "image.picture" and len(shape) == 3:
        return f"{shape[1]} x {shape[2]} pixels (height x width)"
    return str(shape)
