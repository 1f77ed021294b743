"""Join values that a program makes in parts: the tower's, tile by tile, and the prompt's, in chunks."""

from collections.abc import Container, Iterator
from itertools import accumulate

import numpy as np

from ovis2_ref.checkpoint.names import TEXT
from ovis2_ref.golden.file import Golden
from ovis2_ref.golden.matching import Match, Matches, shape_of
from ovis2_ref.golden.stages import TABLE, is_input, numbered, split_number
from ovis2_ref.runtime.arrays import Array

VISUAL = ("model.vision_tower.", TABLE, "pixel_values")
PER_TOKEN = ("input_ids", f"{TEXT}.inputs_embeds", f"{TEXT}.layers.")
"""Values of a pass over all its tokens."""
KEY_AXIS = (".scores", ".weights")
"""Values whose last axis are the keys so far."""


def join_parts(golden: Golden, matches: Matches) -> None:
    """Join tiles and chunks among the matches where they make up the golden file's."""
    found = matches.found
    for tap in [tap for tap in found if tap.startswith(VISUAL) and split_number(tap)[1] == 1]:
        parts = list(_passes(found, tap))
        shape = shape_of(golden, tap)
        if len(parts) > 1 and shape and sum(len(part.array) for part in parts) == shape[0]:
            _replace(
                found, tap, np.concatenate([part.array for part in parts]), f"{len(parts)} runs for {shape[0]} tiles"
            )
    chunks = _chunks(golden, found)
    if chunks > 1:
        _join_chunks(found, chunks)


def _passes(found: dict[str, Match], tap: str) -> Iterator[Match]:
    """Yield the matches of a tap and its repetitions, as far as they follow each other."""
    step = 1
    while numbered(tap, step) in found:
        yield found[numbered(tap, step)]
        step += 1


def _replace(found: dict[str, Match], tap: str, array: Array, how: str) -> None:
    """Put `array` in the place of a tap and its repetitions."""
    name = found[tap].name
    for step in range(2, len(list(_passes(found, tap))) + 1):
        del found[numbered(tap, step)]
    found[tap] = Match(name, array, how)


def _tokens(array: Array) -> int:
    """Return the number of tokens in a value of the language model."""
    return array.shape[2 if array.ndim == 4 else 1] if array.ndim > 1 else 0


def _chunks(golden: Golden, found: dict[str, Match]) -> int:
    """Return the number of passes that the candidate took for the golden file's prompt.

    Its ids say so; where they weren't recorded, the count of tokens, if the last chunk has more than one: one token may as
    well be a step after another prompt.
    """
    whole = (shape_of(golden, "input_ids") or (0,))[-1]
    for tap in sorted(found, key=lambda tap: not tap.startswith("input_ids")):
        if split_number(tap)[1] > 1 or not tap.startswith(PER_TOKEN):
            continue
        parts = [part.array for part in _passes(found, tap)]
        ends = [*accumulate(map(_tokens, parts))]
        if whole not in ends[1:]:
            return 1
        count = ends.index(whole) + 1
        if tap == "input_ids":
            joined = np.concatenate(parts[:count], axis=1)
            return count if np.array_equal(joined, golden.taps["input_ids"]) else 1
        return count if _tokens(parts[count - 1]) > 1 else 1
    return 1


def _join_chunks(found: dict[str, Match], chunks: int) -> None:
    """Make the first passes one, and number the later ones anew."""
    for tap in [tap for tap in found if not tap.startswith(("image.", *VISUAL)) and split_number(tap)[1] == 1]:
        parts = list(_passes(found, tap))
        if len(parts) < chunks:
            continue
        first, later = parts[:chunks], parts[chunks:]
        array = first[-1].array  # of the mask and of logits the last one
        if not tap.startswith(("attention_mask", "lm_head.")):
            array = _in_a_row(tap, [part.array for part in first])
        _replace(found, tap, array, f"joined from {chunks} chunks")
        found |= {numbered(tap, step): part for step, part in enumerate(later, 2)}


def _in_a_row(tap: str, arrays: list[Array]) -> Array:
    """Return the values of chunks as those of one pass: keys that a chunk doesn't see are masked."""
    if tap.endswith(KEY_AXIS):
        masked, width = (-np.inf if tap.endswith(".scores") else 0.0), arrays[-1].shape[-1]
        arrays = [
            np.pad(array, ((0, 0),) * (array.ndim - 1) + ((0, width - array.shape[-1]),), constant_values=masked)
            for array in arrays
        ]
    return np.concatenate(arrays, axis=2 if arrays[0].ndim == 4 else 1)


def without_place(golden: Golden, matches: Matches, stages: Container[str]) -> None:
    """Move matches of passes that no stage and no golden value has to the names without a tap."""
    for tap in [tap for tap in matches.found if tap not in stages and tap not in golden and not is_input(tap)]:
        matches.unmatched.append(matches.found.pop(tap).name)
