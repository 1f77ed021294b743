"""Match a candidate's arrays to taps: by name, by another program's name, by part of a name; guess the others by content."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ovis2_ref.golden.file import Golden
from ovis2_ref.golden.layouts import ALIKE, arrange, similarity
from ovis2_ref.golden.names import READY, Names, read_names, resolve
from ovis2_ref.golden.stages import INTEGERS, is_input, numbered, split_number
from ovis2_ref.runtime.arrays import Array

SHORTEST = 12
"""Letters that a part of a name needs at least to match a name."""
LARGEST_INTEGER = 2**53
"""Whole numbers up to here may be stored as float64."""


@dataclass(frozen=True)
class Match:
    """An array of a candidate that was matched to a tap."""

    name: str
    """The candidate's name of it."""
    array: Array
    """The array in the tap's layout."""
    how: str
    """How it was matched, and how its layout was changed; "" where it has the tap's name and layout."""
    rows: Array | None = None
    """The rows that the candidate kept, if not all."""
    whole: tuple[int, ...] | None = None
    """The shape of the value that these rows are of, where it is known."""


class Guess(NamedTuple):
    """An array without a known name, and the tap whose golden value it is most like."""

    name: str
    tap: str
    likeness: float


@dataclass
class Matches:
    """The taps of a candidate's arrays."""

    found: dict[str, Match] = field(default_factory=dict)
    again: list[tuple[str, Match]] = field(default_factory=list)
    """Further arrays of a tap that differ from the first one."""
    misfits: list[tuple[str, Match]] = field(default_factory=list)
    """Arrays with the name of a tap, and a shape that it can't have."""
    unmatched: list[str] = field(default_factory=list)
    """Names without a tap."""
    guesses: list[Guess] = field(default_factory=list)
    """What some of these are most like."""


def match_taps(golden: Golden, candidate: Golden, taps: Iterable[str], names: Names | None = None) -> Matches:
    """Return the taps of the candidate's arrays: of the golden file's taps and the further `taps`.

    `names`: the candidate's names -> taps; None takes the ready map that has most of them.
    """
    known = {*golden.names, *taps}
    if names is None:
        names = _best_map([name for name in candidate.names if name not in known])
    matches = Matches()
    for name in candidate.names:
        named, how = _named(name, known, names)
        if named is None:  # the map knows that it has no tap
            continue
        placed = _place(golden, candidate, name, named, how)
        if not placed and named and how in ("", BY_MAP):
            matches.misfits.append((named[0], Match(name, candidate.taps[name], how)))
        elif not placed:
            matches.unmatched.append(name)
        for tap, match in placed.items():
            first = matches.found.setdefault(tap, match)
            if first is not match and not np.array_equal(first.array, match.array):
                matches.again.append((tap, match))
    matches.guesses = _by_content(golden, candidate, matches)
    return matches


BY_MAP = "by the map"


def _best_map(names: list[str]) -> Names:
    maps = [read_names(name) for name in READY]
    return max(maps, key=lambda ready: sum(bool(_mapped(name, ready)) for name in names))


def _mapped(name: str, names: Names) -> list[str] | None:
    base, step = split_number(name)
    taps = resolve(base, names)
    return None if taps is None else [numbered(tap, step) for tap in taps]


def _named(name: str, known: Collection[str], names: Names) -> tuple[list[str] | None, str]:
    """Return the taps of a name, and how they were found; None for a name that the map has without a tap.

    A module that runs again for each tile, or for each part of a prompt, may have taps beyond the golden file's (#2).
    """
    if not name:  # the whole model, whose output is its last part's
        return None, ""
    if name in known or split_number(name)[0] in known:
        return [name], ""
    mapped = _mapped(name, names)
    if mapped is not None and all(split_number(tap)[0] in known for tap in mapped):
        return mapped or None, BY_MAP
    ends = [tap for tap in known if len(name) >= SHORTEST and (tap.endswith(f".{name}") or name.endswith(f".{tap}"))]
    if len(ends) == 1:
        return ends, "by the end of its name"
    starts = [tap for tap in known if len(name) >= SHORTEST and tap.startswith(name)]
    return (starts, "by the start of its name") if len(starts) == 1 else ([], "")


def _place(golden: Golden, candidate: Golden, name: str, taps: list[str], how: str) -> dict[str, Match]:
    """Return the candidate's array as the value of each of the taps that lie side by side in it."""
    array, rows = candidate.taps[name], candidate.rows(name)
    if not taps:
        return {}
    if rows is not None:
        shape = shape_of(candidate, name) or shape_of(golden, taps[0])
        if shape is not None and (array.shape[-1] != shape[-1] or rows[-1] >= prod(shape[:-1])):
            return {}
        return {taps[0]: Match(name, array, _words(how, f"{len(rows)} rows"), rows, shape)}
    parts = [array]
    if len(taps) > 1:
        widths = [(shape_of(golden, split_number(tap)[0]) or (0,))[-1] for tap in taps]
        if not array.ndim or sum(widths) != array.shape[-1]:
            return {}
        parts = np.split(array, np.cumsum(widths)[:-1], axis=-1)
    placed = {}
    for tap, part in zip(taps, parts, strict=True):
        value, numbers = _numbers(tap, part)
        match = _arranged(golden, candidate, name, tap, value, _words(how, numbers))
        if match is not None:
            placed[tap] = match
    return placed


def _numbers(tap: str, array: Array) -> tuple[Array, str]:
    """Return ids and pictures as whole numbers, all other values as floating-point numbers, and whether that changed them."""
    whole = split_number(tap)[0] in INTEGERS
    if whole and array.dtype.kind not in "iub":
        wide = array.astype(np.float64)
        if np.all(np.abs(wide) < LARGEST_INTEGER) and np.array_equal(wide, np.round(wide)):
            return wide.astype(np.int64), "stored as floating-point numbers"
    if not whole and array.dtype.kind in "iub":
        return array.astype(np.float64), "stored as whole numbers"
    return array, ""


def _arranged(golden: Golden, candidate: Golden, name: str, tap: str, array: Array, how: str) -> Match | None:
    """Return the match of an array with a tap, in the tap's layout; None if it can't have it."""
    base, step = split_number(tap)
    shape = shape_of(golden, tap if tap in golden else base)
    if shape is None:
        return Match(name, array, how)
    if is_input(tap) and (array.shape == shape or base == "image.picture"):  # other axes are mistakes, not layouts
        return Match(name, array, how)
    if base.endswith(".k_rotated") and array.ndim == 4 and tap in golden:
        mask = numbered("attention_mask", step)
        keys = shape_of(candidate, mask) or shape_of(golden, mask) or (0,)
        if array.shape[-2] >= keys[-1] > 0 and (step > 1 or not array[:, :, keys[-1] :].any()):
            count = shape[-2] if step > 1 else keys[-1]
            how = how if array.shape[-2] == count else _words(how, "of all keys")
            array = array[:, :, keys[-1] - count : keys[-1]]
    layout = arrange(
        array, shape, *((partial(golden.taps.__getitem__, tap), golden.rows(tap)) if tap in golden else ())
    )
    return None if layout is None else Match(name, layout.array, _words(how, layout.how))


def _by_content(golden: Golden, candidate: Golden, matches: Matches) -> list[Guess]:
    """Return for arrays without a name the free taps that they are most like, the most similar pair first."""
    sizes = {name: candidate.taps[name].size for name in matches.unmatched}
    pairs = []
    for tap in golden.names:
        shape = shape_of(golden, tap)
        if tap in matches.found or golden.rows(tap) is not None or shape is None:
            continue
        for name in (name for name, size in sizes.items() if size == prod(shape) > 1):
            look_up = partial(golden.taps.__getitem__, tap)
            layout = arrange(candidate.taps[name], shape, look_up)
            likeness = 0.0 if layout is None else similarity(layout.array, look_up())
            if likeness > ALIKE:
                pairs.append(Guess(name, tap, likeness))
    guesses: list[Guess] = []
    for guess in sorted(pairs, key=lambda guess: -guess.likeness):
        if not any(guess.tap == other.tap or guess.name == other.name for other in guesses):
            guesses.append(guess)
    return guesses


def shape_of(golden: Golden, tap: str) -> tuple[int, ...] | None:
    """Return the shape of a golden file's value; where only rows of it are kept, that of the whole value, if it is known."""
    if tap not in golden:
        return None
    kept: Mapping[str, Any] | None = golden.metadata.get("rows", {}).get(tap)
    if kept:
        return tuple(kept["shape"])
    return golden.shape(tap) if golden.rows(tap) is None else None


def _words(*words: str) -> str:
    return ", ".join(word for word in words if word)
