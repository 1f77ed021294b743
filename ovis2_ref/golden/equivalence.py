"""Find wrong values that don't matter: their effect vanishes before the logits."""

from collections.abc import Mapping

import numpy as np

from ovis2_ref.golden.bands import MARGIN, Bands, row_error
from ovis2_ref.golden.replay import UNFIT, MissingInputError, Replay, ancestors
from ovis2_ref.runtime.arrays import DTYPES, Array

EFFECT_FLOOR = float(np.finfo(np.float64).eps) * 64
"""An effect below this is the rounding of the float64 replays themselves."""


def reach(bands: Bands, tap: str, inputs: Mapping[str, Array]) -> set[str] | None:
    """Return the taps that the candidate's value of `tap` changes by more than rounding the true value would; None if the
    effect reaches the logits.

    Values that are used together (cosines and sines) are replaced together. The effect is computed in float64, along every path
    from the value to the logits, until it has vanished; ids, mask and positions are those of the golden file, `inputs`.
    """
    users: dict[str, list[str]] = {name: [] for name in bands.stages}
    for stage in bands.stages.values():
        for name in stage.inputs:
            if name in users:
                users[name].append(stage.tap)
    group = {name for name in bands.known if name in users and users[name] == users[tap]} | {tap}
    if tap not in bands.known:  # rows alone
        return None
    try:
        true = {name: bands.truth.stage(name) for name in group}
        rounded = {name: bands.replay(DTYPES[bands.claimed]).stage(name).astype(np.float64) for name in group}
    except (MissingInputError, *UNFIT):
        return None
    given = {name: bands.known[name] for name in group}
    if any(given[name].shape != true[name].shape for name in group):
        return None
    known = {**bands.known, **{name: array for name, array in inputs.items() if name not in group}}
    base = {
        name: array for name, array in known.items() if name not in group and not group & ancestors(bands.stages, name)
    }
    runs = [bands.replay_of({**base, **values}) for values in (true, given, rounded)]
    try:
        return _changed(bands, users, group, runs)
    except (MissingInputError, *UNFIT):
        return None


def _changed(bands: Bands, users: Mapping[str, list[str]], group: set[str], runs: list[Replay]) -> set[str] | None:
    """Return the group, and every stage after it until the effect vanishes; None if it reaches the logits."""
    coming, seen, changed = [user for name in group for user in users[name]], set(), set(group)
    while coming:
        name = coming.pop(0)
        if name not in seen and not _vanished(runs, name):
            if not users[name] or name.startswith("lm_head."):
                return None
            changed.add(name)
            coming += users[name]
        seen.add(name)
    return changed if seen else None


def _vanished(runs: list[Replay], tap: str) -> bool:
    """Return True if the second run, with the candidate's value, is as near to the first, true run as the third, rounded one."""
    true, given, rounded = (run.value(tap) for run in runs)
    if true.dtype.kind in "iub":
        return np.array_equal(true, given)
    return row_error(given, true) <= max(MARGIN * row_error(rounded, true), EFFECT_FLOOR)
