"""Check a candidate before its values are judged: what it says of itself, and that a run can have such inputs."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ovis2_ref.errors import InputError
from ovis2_ref.golden.file import Golden
from ovis2_ref.golden.record import fingerprint
from ovis2_ref.golden.replay import CastWeights
from ovis2_ref.golden.stages import Reference, is_input, split_number
from ovis2_ref.runtime.arrays import DTYPES, Array

LARGER = 16
"""An input may have so many times the numbers of the golden file's."""
MOST_TILES = 1024
"""Tiles of a grid."""
SIZES = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "image_size", "patch_size", "hidden_stride",
)  # fmt: skip
"""Entries of a configuration that two runs of one model have in common."""


def claimed_type(candidate: Golden) -> str:
    """Return the type that a candidate claims to compute in, or else the one that most of its numbers have.

    Raises `InputError` for a type that no program here computes in.
    """
    claimed = candidate.metadata.get("dtype")
    if claimed is None:
        kinds = [candidate.taps[name].dtype.name for name in candidate.names if "pixel_values" not in name]
        kinds = [kind for kind in kinds if kind in DTYPES]
        return max(DTYPES, key=kinds.count) if kinds else "float32"
    name = str(claimed).removeprefix("torch.")
    if name not in DTYPES:
        raise InputError(f"the candidate's dtype is {claimed!r:.80}; write one of {', '.join(DTYPES)}")
    return name


def other_run(golden: Golden, candidate: Golden, reference: Reference) -> tuple[list[str], bool]:
    """Return what shows that the candidate is of another run, and True if its values say nothing then.

    A prompt or a picture that is recorded, too, is judged like every input: it may be a mistake that is known.
    """
    mine, theirs = golden.metadata, candidate.metadata
    models = list(_sizes(mine.get("config"), theirs.get("config"), ""))
    if theirs.get("weights") and mine.get("weights") and not models and _other_weights(golden, candidate, reference):
        models = ["the fingerprint of the weights"]
    remarks = [f"this candidate is of another checkpoint: {', '.join(models)}"] if models else []
    stops = bool(models)
    if theirs.get("prompt") is not None and mine.get("prompt") is not None and theirs["prompt"] != mine["prompt"]:
        remarks.append(
            f"this candidate is of another prompt: {theirs['prompt']!r:.200}; the golden file's is {mine['prompt']!r:.200}"
        )
        stops |= "input_ids" not in candidate
    for tap in (tap for tap in golden.names if split_number(tap)[0] == "image.picture"):
        there, here = (data.get("inputs", {}).get(tap) for data in (theirs, mine))
        if there is not None and here is not None and there != here:
            remarks.append(f"this candidate is of another picture ({tap})")
            stops |= tap not in candidate and "pixel_values" not in candidate
    return remarks, stops


def _sizes(mine: Any, theirs: Any, place: str) -> Iterator[str]:
    """Yield the sizes that two configurations have, and that differ."""
    if not isinstance(mine, dict) or not isinstance(theirs, dict):
        return
    for name in sorted(mine.keys() & theirs.keys(), key=str):
        if name in SIZES and mine[name] != theirs[name]:
            yield f"{place}{name} is {theirs[name]!r:.20}, not {mine[name]!r:.20}"
        yield from _sizes(mine[name], theirs[name], f"{name}.")


def _other_weights(golden: Golden, candidate: Golden, reference: Reference) -> bool:
    """Return True if the candidate's fingerprint isn't that of the reference's weights, in the candidate's type."""
    theirs = candidate.metadata["weights"]
    if theirs == golden.metadata["weights"]:
        return False
    dtype = DTYPES[claimed_type(candidate)]
    return theirs != fingerprint(CastWeights(reference.weights.arrays, dtype, dtype))


def expect_possible(golden: Golden, known: Mapping[str, Array]) -> None:
    """Raise `InputError` for inputs that are far larger than the golden file's, whose run would take all memory, or no grid."""
    for tap, array in known.items():
        name = split_number(tap)[0]
        first = golden.shape(name) if name in golden else None
        if is_input(tap) and first is not None and array.size > LARGER * np.prod(first, dtype=np.int64) + LARGER:
            raise InputError(
                f"the candidate's {tap} has the shape {array.shape}; the golden file's has {first}: another run"
            )
        if name == "image.grid" and not (
            array.size == 2 and array.min() > 0 and array.max() <= MOST_TILES and array.prod() <= MOST_TILES
        ):
            raise InputError(
                f"the candidate's {tap} is {array.reshape(-1)[:4].tolist()}; two counts of tiles were expected"
            )
