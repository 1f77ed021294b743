"""Golden files with something wrong in them: metadata, names, shapes, rows, numbers, bytes. Nothing here imports torch."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ml_dtypes import bfloat16

from ovis2_ref.golden import Golden, GoldenWriter, compare, read_golden
from ovis2_ref.golden.page import page
from ovis2_ref.golden.report import as_json, table
from tests.golden.small import recorded, reference

STRANGE: tuple[Any, ...] = (
    None, 0, -1, 32, 1.5, 10**30, True, "", "fp8", "float8", "torch.float32", "int64", "\u202e\x1b[2J", "x" * 10_000, [], {},
    [[]], {"a": 1}, {"shape": [2]}, [1] * 9, "bfloat16", "float64", "original",
)  # fmt: skip
"""Values that an entry of the metadata may get."""
SHAPES = ((), (1,), (0,), (1, 1), (7,) * 8, (3, 0, 2), (1, 40_000), (2, 3, 4, 5), (1, 1, 512), (512, 1), (64, 64))
SUFFIXES = ("#2", "#5000", "#99999999", "#0", "#-1", "#" + "9" * 5000, "@rows", ".output", "x", "\u202e")


def changed_array(array: np.ndarray, chance: random.Random) -> np.ndarray:
    """Return an array with other numbers, another type or another shape."""
    kind = chance.randrange(9)
    if kind == 0:
        return np.zeros(chance.choice(SHAPES), array.dtype)
    if kind == 1:
        return array.astype(chance.choice([np.float16, np.float64, np.int8, np.int64, np.bool_, bfloat16, np.uint8]))
    if kind == 2:
        return array.T
    if kind == 3:
        return array.reshape(-1)[: chance.randrange(array.size + 1)]
    if kind == 4:
        return np.concatenate([array, array]) if array.ndim else array
    flat = array.reshape(-1).copy()
    if flat.size:
        place = chance.randrange(flat.size)
        whole = array.dtype.kind in "iub"
        flat[place:] = chance.choice([-1, 0, 100] if whole else [np.nan, np.inf, -np.inf, 1e38, 0])
        if kind > 6 and not whole:
            flat[:] = chance.choice([2.0, -1.0, 0.999]) * flat
    return flat.reshape(array.shape)


def mutated(golden: Golden, chance: random.Random) -> Golden:
    """Return a golden file with up to three things changed, of some of its values."""
    kept = [name for name in golden.taps if chance.random() < 0.5 or "input" in name]
    taps, metadata = {name: golden.taps[name] for name in kept}, json.loads(json.dumps(dict(golden.metadata)))
    if chance.random() < 0.7:
        metadata = {"dtype": "float32"}
    for _ in range(chance.randrange(1, 4)):
        name = chance.choice(list(taps))
        kind = chance.randrange(6)
        if kind == 0:
            metadata[chance.choice([*golden.metadata, "dtype", "rows", "inputs"])] = chance.choice(STRANGE)
        elif kind == 1:
            taps[name + chance.choice(SUFFIXES)] = taps[name]
        elif kind == 2:
            count = chance.randrange(4)
            rows = [chance.choice([0, 1, 2, 3, -1, 10**12]) for _ in range(count)]
            taps[name] = np.zeros((count, taps[name].shape[-1] if taps[name].ndim else 1), np.float32)
            taps[f"{name}@rows"] = np.array(rows, chance.choice([np.int64, np.float32]))
            metadata["rows"] = {
                name: chance.choice([{"shape": [1, 5, 16]}, {"shape": [10**9, 10**9]}, {}, 3, {"shape": "x"}])
            }
        elif kind == 3:
            taps[chance.choice(["a", "layers.0", "logits", "model", "Qcur-0", "blk.0"])] = taps[name]
        else:
            taps[name] = changed_array(taps[name], chance)
    return Golden(taps, metadata)


def golden_case(seed: int, folder: Path, pristine: Any) -> Callable[[], None]:
    """Write a changed golden file, read it, compare it, and write what comes of it."""
    chance = random.Random(seed)
    path = folder / "candidate"
    golden = mutated(recorded(), chance)
    with GoldenWriter(path) as writer:
        for name, array in golden.taps.items():
            writer.add(name, array)
        writer.metadata = {"version": 1, **golden.metadata}
    if chance.random() < 0.2:
        content = bytearray(path.read_bytes())
        for _ in range(chance.randrange(1, 4)):
            content[chance.randrange(min(len(content), 4000))] = chance.randrange(256)
        path.write_bytes(content[: chance.choice([len(content), chance.randrange(len(content))])])
    right = reference()

    def case() -> None:
        comparison = compare(recorded(), read_golden(path), right, strict=seed % 2 == 0)
        json.loads(as_json(comparison), parse_constant=lambda word: 1 / 0)
        table(comparison)
        page(comparison)

    return case
