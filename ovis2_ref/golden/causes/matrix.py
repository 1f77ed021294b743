"""Which mistakes a run can tell apart: make each mistake in each stage that it concerns, and search for it."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from ovis2_ref.golden.bands import Bands, Fit, row_error
from ovis2_ref.golden.causes.catalogue import CATALOGUE
from ovis2_ref.golden.causes.search import explain, with_mistake
from ovis2_ref.golden.replay import UNFIT, MissingInputError
from ovis2_ref.runtime.arrays import DTYPES, Array

ROUNDING = "rounding"
"""In place of a mistake's name: rounding explains the value, too."""


class Planted(NamedTuple):
    """The result of the search for a mistake that was made in a stage."""

    mistake: str
    tap: str
    found: tuple[str, ...]
    """See `named_at`."""


def named_at(bands: Bands, tap: str, value: Array) -> tuple[str, ...]:
    """Return the mistakes that reproduce a value, the closest first; none if none is known, `ROUNDING` if it need not be one."""
    fit = Fit(value.shape, value.dtype)
    truth = fit(bands.truth.stage(tap))
    if value.shape == truth.shape:
        if value.dtype.kind in "iub":
            right = np.array_equal(value, truth)
        else:
            error = row_error(value, truth)
            right = error <= bands.band(tap, truth, fit, error)
        if right:
            return (ROUNDING,)
    return tuple(name for each in explain(bands, tap, value, fit) for name in each.names)


def plant(bands: Bands, known: Mapping[str, Array]) -> Iterator[Planted]:
    """Make every known mistake in every stage of a right run, in its own type, and search for it.

    Mistakes that a stage can't have (a weight that isn't square, transposed) are left out.
    """
    dtype = DTYPES[bands.claimed]
    for cause in CATALOGUE:
        for tap, stage in with_mistake(cause, bands.stages, known).items():
            try:
                value = bands.replay(dtype, changed={tap: stage}).stage(tap)
                value = value if value.dtype.kind in "iub" else value.astype(dtype)
                yield Planted(cause.name, tap, named_at(bands, tap, value))
            except (MissingInputError, *UNFIT):
                continue
