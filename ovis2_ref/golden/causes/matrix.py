"""Which mistakes a run can tell apart: make each mistake in each stage that it concerns, and search for it."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ovis2_ref.golden.bands import Bands, Fit, row_error
from ovis2_ref.golden.causes.catalogue import CATALOGUE
from ovis2_ref.golden.causes.search import explain, with_mistake
from ovis2_ref.golden.replay import UNFIT, MissingInputError
from ovis2_ref.runtime.arrays import DTYPES, Array


class Planted(NamedTuple):
    """The result of the search for a mistake that was made in a stage."""

    mistake: str
    tap: str
    found: tuple[str, ...]
    """The mistakes that were named, the closest first; none if none was found; "rounding" where rounding explains it, too."""


def plant(bands: Bands, known: Mapping[str, Array]) -> Iterator[Planted]:
    """Make every known mistake in every stage of a right run, in its own type, and search for it.

    Mistakes that a stage can't have (a weight that isn't square, transposed) are left out.
    """
    dtype = DTYPES[bands.claimed]
    for cause in CATALOGUE:
        for tap, stage in with_mistake(cause, bands.stages, known).items():
            try:
                value = bands.replay(dtype, changed={tap: stage}).stage(tap)
                truth = bands.truth.stage(tap)
            except (MissingInputError, *UNFIT):
                continue
            whole = value.dtype.kind in "iub"
            value = value if whole else value.astype(dtype)
            fit = Fit(value.shape, value.dtype)
            if value.shape == truth.shape and (whole or row_error(value, truth) <= bands.band(tap, truth, fit)):
                right = not whole or (value == truth).all()
                if right:
                    yield Planted(cause.name, tap, ("rounding",))
                    continue
            found = explain(bands, tap, value, fit)
            yield Planted(cause.name, tap, tuple(name for each in found for name in (each.cause.name, *each.others)))
