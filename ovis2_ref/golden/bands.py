"""Bands: how far rounding alone can take a stage from the truth, and which lower type explains a larger deviation.

The error of a value is measured row by row (the last axis), relative to the norm of the true row, and pooled as a root mean
square. So a small row counts as much as a large one, and one wrong row among many shows. The band is measured, too: the stage
is computed from the same inputs in the claimed type, once as the model does it and once with every sum in order. A value may have
twice the larger error of the two: one bit more than the worst right way of computing.

The error of few numbers can be small by chance. So the band is `1 + SPREAD / root(n)` times as wide, n the numbers that the error
is spread over, and values of up to `FEW` numbers are computed in six more orders if they are in doubt.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from ml_dtypes import finfo

from ovis2_ref.golden.arithmetic import IN_ORDER, PLAIN, ROUNDINGS, SHUFFLED, Arithmetic, rounded_factors
from ovis2_ref.golden.replay import Replay, Stages
from ovis2_ref.golden.stages import Reference
from ovis2_ref.runtime.arrays import DTYPES, Array

MARGIN = 2.0
"""One bit."""
SPREAD = 8.0
"""Standard deviations of a measured error: a root mean square of n numbers has one of 1 / root(2 n) of it."""
FEW = 512
"""Numbers of a value that is computed in more orders, if it is outside its band by no more than `IN_DOUBT` times."""
IN_DOUBT = 20
OUT_OF_QUESTION = 1000
"""A value that is outside of the model's own band by so many times is wrong, without sums in order."""
EXPLAINED = 0.5
"""A lower type is named if computing in it explains more than half of a value's deviation (of its energy)."""
ALIKE = 0.01
"""Types that explain as much as the best one, to this share, are named with it: TF32 and float16 have as many bits."""
LOWER = {
    "float64": ("float32",),
    "float32": (*ROUNDINGS, "all in float16", "all in bfloat16"),
    "float16": ("all in bfloat16",),
    "bfloat16": ("all in float16",),
}
"""Claimed type -> what a program may have computed in instead."""


def spread_over(value: Array, truth: Array) -> float:
    """Return the number of numbers that the error of a value is spread over: (sum of squares)^2 / sum of fourth powers; or 1."""
    finite = np.isfinite(truth) & np.isfinite(value)
    distance = np.where(finite, value, 0).astype(np.float64) - np.where(finite, truth, 0)
    size = np.atleast_1d(np.where(finite, truth, 0) ** 2).sum(axis=-1, keepdims=True)
    square = np.atleast_1d(distance**2) / np.where(size == 0, 1, size)
    return float(square.sum() ** 2 / (square**2).sum()) if square.any() else 1.0


def not_finite(value: Array, truth: Array) -> Array:
    """Return where a value is not the number, or the -infinity of a masked score, that it should be."""
    return np.isfinite(truth) & ~np.isfinite(value) | (truth == -np.inf) & (value != -np.inf)


def without_factor(x: Array, truth: Array) -> Array:
    """Return `x` less its nearest multiple of the truth."""
    size = np.square(truth).sum()
    return x - (x * truth).sum() / size * truth if size else x


def share_explained(deviation: Array, predicted: Array) -> float:
    """Return the share of a deviation's energy that a predicted deviation explains; 0 where it is nothing or less."""
    energy = np.square(deviation).sum()
    left = np.square(deviation - predicted).sum()
    return float(1 - left / energy) if energy and np.isfinite(left) else 0.0


def row_error(value: Array, truth: Array) -> float:
    """Return the root mean square over all rows of |value - truth| / |truth|; infinite where expected
    numbers are missing.

    Rows of which the truth is zero count relative to the whole array.
    """
    value, truth = np.atleast_1d(value).astype(np.float64), np.atleast_1d(truth).astype(np.float64)
    finite = np.isfinite(truth)
    if not_finite(value, truth).any() or (np.isfinite(value) & ~finite).any():
        return float("inf")
    truth, value = np.where(finite, truth, 0), np.where(finite, value, 0)
    size = (truth**2).sum(axis=-1)
    whole = size.mean()
    if whole == 0:
        return 0.0 if not np.any(value) else float("inf")
    distance = ((value - truth) ** 2).sum(axis=-1)
    return float(np.sqrt(np.mean(distance / np.where(size == 0, whole, size))))


class Fit(NamedTuple):
    """Cut a computed value to the part that the candidate recorded: only the last tokens, or some rows; and hide padding."""

    shape: tuple[int, ...]
    dtype: np.dtype
    rows: Array | None = None
    hidden: Array | None = None
    """True for rows (all axes but the last) whose numbers don't matter."""
    whole: tuple[int, ...] | None = None
    """The shape of the value of which `rows` were kept."""

    def __call__(self, array: Array) -> Array:
        """Return the part of `array` that corresponds."""
        shape = self.whole or self.shape
        if array.ndim == len(shape) == 3 and array.shape[1] > shape[1]:
            array = array[:, -shape[1] :]
        if self.rows is not None:
            array = array.reshape(-1, array.shape[-1])[self.rows]
        return self.without_padding(array)

    def without_padding(self, part: Array) -> Array:
        """Return such a part with zeros in the rows of padding."""
        if self.hidden is None or part.shape != self.shape:
            return part
        rows = part.reshape(-1, part.shape[-1]).copy()
        rows[self.hidden if self.rows is None else self.hidden[self.rows]] = 0
        return rows.reshape(part.shape)


class Jittered(Mapping[str, Array]):
    """Recorded values, each number moved at random by up to half a unit in the last place of a stored type."""

    def __init__(self, known: Mapping[str, Array], seed: int) -> None:
        self._known, self._seed = known, seed

    def __getitem__(self, tap: str) -> Array:
        array = self._known[tap]
        if array.dtype.kind in "iub":
            return array
        random = np.random.default_rng([self._seed, *tap.encode()])
        half = float(finfo(array.dtype).eps) / 2
        return array.astype(np.float64) * (1 + half * random.uniform(-1, 1, array.shape))

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


class Bands:
    """The truth of each stage of a candidate, and its band, from the candidate's own recorded values."""

    def __init__(self, stages: Stages, reference: Reference, known: dict[str, Array], claimed: str) -> None:
        """Take the recorded values, which a judge may change; `claimed` is the type that the candidate says it computes in."""
        self.stages, self.known, self._reference = stages, known, reference
        self.claimed = claimed
        self._replays: dict[tuple[str, str], Replay] = {}
        self.truth = self._replay_in(DTYPES["float64"])
        """The stages in float64."""

    def replay(
        self, dtype: np.dtype = DTYPES["float64"], arithmetic: Arithmetic = PLAIN, changed: Stages | None = None
    ) -> Replay:
        """Return a replay of the candidate's values in another type or arithmetic, with some stages `changed`."""
        return self.replay_of(self.known, dtype, arithmetic, changed)

    def replay_of(
        self,
        known: Mapping[str, Array],
        dtype: np.dtype = DTYPES["float64"],
        arithmetic: Arithmetic = PLAIN,
        changed: Stages | None = None,
    ) -> Replay:
        """Return the same from other values."""
        reference = replace(self._reference, arithmetic=arithmetic)
        return Replay({**self.stages, **(changed or {})}, reference, known, DTYPES[self.claimed], dtype)

    def _replay_in(self, dtype: np.dtype, arithmetic: Arithmetic = PLAIN, changed: Stages | None = None) -> Replay:
        """Return a replay that is kept, with its computed values, for later taps.

        One with stages changed is new, and takes over what the kept one has computed of the stages before them.
        """
        key = dtype.name, arithmetic.name
        if key not in self._replays:
            self._replays[key] = self.replay(dtype, arithmetic)
        if not changed:
            return self._replays[key]
        replay = self.replay(dtype, arithmetic, changed)
        replay.take_over(self._replays[key], changed)
        return replay

    def with_mistake(self, changed: Stages) -> Replay:
        """Return a replay in float64 with some stages changed."""
        return self._replay_in(DTYPES["float64"], PLAIN, changed)

    def band(self, tap: str, truth: Array, fit: Fit, error: float, changed: Stages | None = None) -> float:
        """Return the largest error that the tap may have, with some stages `changed`. `error` is the one that it has.

        Sums in order, which take long, are computed only where the error is neither within the model's own band nor far from it.
        Any rounded value may be off by a unit in the last place (as exp and cos of two libraries are). In float64 the truth
        itself is rounded. Where values were stored in a lower type, they were computed from others than the stored ones.
        Pixel values are made in float32 always, and then rounded to the type that they are recorded in.
        """
        band = self._band(tap, truth, fit, changed, (PLAIN,))
        if error <= band or error > OUT_OF_QUESTION * band > 0:
            return band
        band = self._band(tap, truth, fit, changed, (PLAIN, IN_ORDER))
        if truth.size > FEW or not band < error <= IN_DOUBT * band:
            return band
        return max(band, self._band(tap, truth, fit, changed, SHUFFLED))

    def _band(
        self, tap: str, truth: Array, fit: Fit, changed: Stages | None, arithmetics: tuple[Arithmetic, ...]
    ) -> float:
        """Return the band that the errors in these arithmetics give."""
        made = DTYPES["float32" if tap == "pixel_values" else self.claimed]
        stored = fit.dtype.itemsize < made.itemsize
        kept = fit.dtype if stored or tap == "pixel_values" else made
        right = [fit(self._replay_in(made, each, changed).stage(tap).astype(kept)) for each in arithmetics]
        if stored:
            replays = [self.replay_of(Jittered(self.known, seed), changed=changed) for seed in range(2)]
            right += [fit(replay.stage(tap).astype(kept)) for replay in replays]
        errors = [row_error(array, truth) for array in right]
        largest, unit = max(errors), float(finfo(kept).eps)
        if not largest and truth.size > FEW and self.claimed != "float64":
            return 0.0
        band = max((MARGIN + (self.claimed == "float64")) * largest, unit)
        return band * (1 + SPREAD / spread_over(right[errors.index(largest)], truth) ** 0.5)

    def lower_type(self, tap: str, value: Array, truth: Array, fit: Fit) -> str | None:
        """Return the lower type, or types, that explain the value's deviation from the truth; None if none does.

        It has to explain the deviation with and without the part that is one factor: a factor alone is no rounding, though
        numbers that are cut off are smaller on average, too. A few equal numbers can't tell the two apart.
        Of a value that float32 can't explain bit by bit, in a program that claims float64, the size of the deviation decides.
        """
        if not_finite(value, truth).any():
            return None
        there = np.isfinite(truth)
        right, deviation = truth[there], value[there] - truth[there]
        uneven = without_factor(deviation, right)
        explained = {}
        for lower in LOWER[self.claimed]:
            if lower in ROUNDINGS:
                replay = self._replay_in(DTYPES["float32"], rounded_factors(lower))
            else:
                replay = self._replay_in(DTYPES[lower.removeprefix("all in ")])
            predicted = fit(replay.stage(tap))[there].astype(np.float64) - right
            share, spread = share_explained(deviation, predicted), without_factor(predicted, right)
            if np.abs(spread).max(initial=0) > 1e-6 * np.abs(predicted).max(initial=0):
                share = min(share, share_explained(uneven, spread))
            if share > EXPLAINED:
                explained[lower] = share
        if not explained and self.claimed == "float64" and share_explained(deviation, uneven) > EXPLAINED:
            size = row_error(fit(self.replay(DTYPES["float32"]).stage(tap)), truth)
            return "float32" if row_error(value, truth) <= MARGIN * max(size, float(finfo(np.float32).eps)) else None
        best = max(explained.values(), default=0.0)
        return " or ".join(name for name, share in explained.items() if share > best - ALIKE) or None
