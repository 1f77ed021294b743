"""Match a candidate's arrays to taps: by name, by another program's name, by part of a name, by shape and content."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ovis2_ref.golden.file import Golden
from ovis2_ref.golden.layouts import ALIKE, arrange, similarity
from ovis2_ref.golden.names import READY, Names, read_names, resolve
from ovis2_ref.golden.stages import is_input, numbered, split_number
from ovis2_ref.runtime.arrays import Array

SHORTEST = 12
"""Letters that a part of a name needs at least to match a name."""


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


def match_taps(
    golden: Golden, candidate: Golden, taps: Iterable[str], names: Names | None = None
) -> tuple[dict[str, Match], list[str]]:
    """Return the candidate's matches of the golden file's taps and the further `taps`, and its names without a match.

    `names`: the candidate's names -> taps; None takes the ready map that has most of them.
    """
    known = {*golden.names, *taps}
    if names is None:
        names = _best_map([name for name in candidate.names if name not in known])
    found: dict[str, Match] = {}
    unnamed = []
    for name in candidate.names:
        taps, how = _named(name, known, names)
        placed = _place(golden, candidate, name, taps, how)
        found |= {tap: match for tap, match in placed.items() if tap not in found}
        if not placed:
            unnamed.append(name)
    return found | _by_content(golden, candidate, unnamed, set(golden.names) - set(found), found), [
        name for name in unnamed if name not in {match.name for match in found.values()}
    ]


def _best_map(names: list[str]) -> Names:
    maps = [read_names(name) for name in READY]
    return max(maps, key=lambda ready: sum(bool(_mapped(name, ready)) for name in names))


def _mapped(name: str, names: Names) -> list[str]:
    base, step = split_number(name)
    return [numbered(tap, step) for tap in resolve(base, names)]


def _named(name: str, known: set[str], names: Names) -> tuple[list[str], str]:
    """Return the taps of a name, and how they were found."""
    if name in known:
        return [name], ""
    taps = _mapped(name, names)
    if taps:
        return taps, "by the map"
    ends = [tap for tap in known if len(name) >= SHORTEST and (tap.endswith(f".{name}") or name.endswith(f".{tap}"))]
    if len(ends) == 1:
        return ends, "by the end of its name"
    starts = [tap for tap in known if len(name) >= SHORTEST and tap.startswith(name)]
    return (starts, "by the start of its name") if len(starts) == 1 else ([], "")


def _place(golden: Golden, candidate: Golden, name: str, taps: list[str], how: str) -> dict[str, Match]:
    """Return the candidate's array as the value of each of the taps that lie side by side in it."""
    array, rows = candidate.taps[name], candidate.rows(name)
    if rows is not None:
        return {taps[0]: Match(name, array, _words(how, f"{len(rows)} rows"), rows)} if taps else {}
    widths = [_shape(golden, tap)[-1] if tap in golden else 0 for tap in taps]
    if len(taps) > 1 and sum(widths) == array.shape[-1]:
        parts = np.split(array, np.cumsum(widths)[:-1], axis=-1)
    else:
        parts = [array][: len(taps)]
    placed = {}
    for tap, part in zip(taps, parts, strict=False):
        if tap not in golden:
            placed[tap] = Match(name, part, how)
            continue
        if is_input(tap) and part.shape == _shape(golden, tap):  # pictures with other axes are mistakes, not layouts
            placed[tap] = Match(name, part, how)
            continue
        expected = golden.taps[tap] if golden.rows(tap) is None else None
        layout = arrange(part, _shape(golden, tap), expected)
        if layout is not None:
            placed[tap] = Match(name, layout.array, _words(how, layout.how))
    return placed


def _by_content(
    golden: Golden, candidate: Golden, unnamed: list[str], free: Iterable[str], found: dict[str, Match]
) -> dict[str, Match]:
    """Match unnamed arrays to the free taps that they are most like, the most similar pair first."""
    pairs = []
    for name in unnamed:
        for tap in free:
            if golden.rows(tap) is not None or golden.taps[tap].size != candidate.taps[name].size:
                continue
            layout = arrange(candidate.taps[name], golden.taps[tap].shape, golden.taps[tap])
            likeness = 0.0 if layout is None else similarity(layout.array, golden.taps[tap])
            if layout is not None and likeness > ALIKE:
                pairs.append((likeness, name, tap, layout))
    for likeness, name, tap, layout in sorted(pairs, key=lambda pair: -pair[0]):
        if tap not in found and name not in {match.name for match in found.values()}:
            found[tap] = Match(name, layout.array, _words(f"by its content ({100 * likeness:.0f} % alike)", layout.how))
    return found


def _shape(golden: Golden, tap: str) -> tuple[int, ...]:
    kept = golden.metadata.get("rows", {}).get(tap)
    return tuple(kept["shape"]) if kept else golden.taps[tap].shape


def _words(*words: str) -> str:
    return ", ".join(word for word in words if word)
