"""Replay: compute stages again from recorded inputs, in any type and any arithmetic."""

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ovis2_ref.golden.stages import Reference, Stage, split_number, without_masked
from ovis2_ref.runtime.arrays import DTYPES, Array
from ovis2_ref.runtime.weights import Weights

Stages = Mapping[str, Stage]


UNFIT = (ValueError, IndexError, TypeError)
"""The errors of a formula whose inputs don't fit each other, as those of a wrong program may be."""


class MissingInputError(Exception):
    """A stage can't be computed: an input of the run was not recorded. The argument is its name."""


class CastWeights(Mapping[str, Array]):
    """Weights rounded to the type that a program claims, then widened to the type of the replay; each at its use."""

    def __init__(self, weights: Mapping[str, Array], claimed: np.dtype, dtype: np.dtype) -> None:
        self._weights, self._claimed, self._dtype = weights, claimed, dtype

    def __getitem__(self, name: str) -> Array:
        with np.errstate(over="ignore"):
            return self._weights[name].astype(self._claimed, copy=False).astype(self._dtype, copy=False)

    def __contains__(self, name: object) -> bool:
        return name in self._weights

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)


def in_type(reference: Reference, claimed: np.dtype, dtype: np.dtype) -> Reference:
    """Return `reference` with its weights rounded to `claimed` and computed with in `dtype`."""
    return replace(reference, weights=Weights(CastWeights(reference.weights.arrays, claimed, dtype)), dtype=dtype)


class Replay:
    """The stages of a run, computed from its recorded values."""

    def __init__(
        self,
        stages: Stages,
        reference: Reference,
        known: Mapping[str, Array],
        claimed: np.dtype,
        dtype: np.dtype = DTYPES["float64"],
    ) -> None:
        """Take the recorded taps `known`, the type `claimed` that they were computed in, and the `dtype` to compute in."""
        self._stages, self._known = stages, known
        self._reference = in_type(reference, claimed, dtype)
        self._claimed, self._dtype = claimed, dtype
        self._computed: dict[str, Array] = {}

    def value(self, tap: str) -> Array:
        """Return the recorded value of the tap, or, where it wasn't recorded, the computed one."""
        if tap in self._known:
            return self._cast(tap, self._known[tap])
        if tap not in self._computed:
            self._computed[tap] = self.stage(tap)
        return self._computed[tap]

    def stage(self, tap: str) -> Array:
        """Return the value of the tap computed from the nearest recorded values before it, whether it was recorded or not.

        Raises `MissingInputError` if nothing before it was recorded, and one of `UNFIT` if the recorded values don't fit
        together.
        """
        for name in segment(self._stages, tap, {*self._known, *self._computed})[:-1]:
            self._computed[name] = self._formula(name)
        return self._formula(tap)

    def take_over(self, base: "Replay", changed: Iterable[str]) -> None:
        """Take the computed values of another replay of the same recorded values, except of `changed` stages and what follows
        from them.
        """
        affected = set(changed)
        for tap, array in base._computed.items():  # in an order in which inputs come first
            if tap in affected or not affected.isdisjoint(base._stages[tap].inputs):
                affected.add(tap)
            else:
                self._computed[tap] = array

    def _formula(self, tap: str) -> Array:
        """Compute the stage's formula from its inputs, which are known."""
        stage = self._stages.get(tap)
        if stage is None:
            raise MissingInputError(tap)
        inputs = [
            self._cast(name, self._known[name]) if name in self._known else self._there(name) for name in stage.inputs
        ]
        part: Any = self._reference.weights / stage.part if stage.part else self._reference.weights
        with np.errstate(over="ignore", invalid="ignore"):
            return stage.compute(self._reference, part, *inputs)

    def _there(self, tap: str) -> Array:
        if tap not in self._computed:
            raise MissingInputError(tap)
        return self._computed[tap]

    def _cast(self, tap: str, array: Array) -> Array:
        """Return numbers in the replay's type; ids and pictures unchanged. Pixel values are rounded as they were in the run."""
        if array.dtype.kind in "iub":
            return array
        if split_number(tap)[0] == "pixel_values":
            array = array.astype(self._claimed)
        if tap.partition("#")[0].endswith(".scores"):
            array = without_masked(array)
        with np.errstate(over="ignore"):
            return array.astype(self._dtype, copy=False)


def segment(stages: Stages, tap: str, known: Container[str]) -> list[str]:
    """Return the stages that `Replay.stage(tap)` computes, in order: what was not recorded before the tap, and the tap itself."""
    found: dict[str, None] = {}
    coming = [tap]
    while coming:
        name = coming[-1]
        stage = stages.get(name)
        before = [] if stage is None else [x for x in stage.inputs if x not in known and x not in found and x in stages]
        coming += before
        if not before:
            found[coming.pop()] = None
    return list(found)


def ancestors(stages: Stages, tap: str) -> set[str]:
    """Return every tap that the value of `tap` depends on."""
    found: set[str] = set()
    coming = [tap]
    while coming:
        stage = stages.get(coming.pop())
        new = [] if stage is None else [name for name in stage.inputs if name not in found]
        found.update(new)
        coming += new
    return found
