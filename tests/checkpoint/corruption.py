"""Damage checkpoint folders: one random change to one file, of its bytes, its JSON, its safetensors header, or its kind (a
link, a pipe, a folder).
"""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

OUTSIDE = "outside.json"
"""A file beside the checkpoint's folder that nothing may open."""

HOSTILE: list[Any] = [
    None, True, False, -1, 0, 1, 2, 3, 7, 2**31, 2**63, 2**64, 10**400, -(10**30), 0.5, 1e308, float("nan"), float("inf"),
    "", "a", "float32", "F64", "BF16", f"../{OUTSIDE}", f"/etc/{OUTSIDE}", "..", ".", "\x00", "\ud800", "x" * 5000, "<IMG_ATOM>",
    "{{ ''.__class__ }}", "!!python/object/apply:os.system ['true']", [], {}, [[]], [0], [-1], [2**40, 2**40], [0, 10**12],
    [None] * 2000, {"a": {}}, {"type": "Sequence"}, ["model.safetensors"],
]  # fmt: skip


def corrupt(folder: Path, chance: random.Random) -> str:
    """Change one file in `folder` (what is a link there is left alone); the file's name and the kind of change are returned."""
    name = chance.choice(sorted(path.name for path in folder.iterdir()))
    path = folder / name
    changes: list[Callable[[Path, random.Random], None]] = [_bytes, _bytes, _replaced]
    if name.endswith(".safetensors"):
        changes += [_header, _header, _header, _header, _length]
    elif name.endswith(".json"):
        changes += [_json, _json, _json, _json]
    change = chance.choice(changes)
    change(path, chance)
    return f"{name}: {change.__name__}"


def _bytes(path: Path, chance: random.Random) -> None:
    """Bits, slices and digits of the first few thousand bytes: of a weights file the header, for flipped numbers go unseen."""
    content = bytearray(path.read_bytes())
    end = (
        min(len(content), 8 + int.from_bytes(content[:8], "little")) if path.suffix == ".safetensors" else len(content)
    )
    start, other = sorted(chance.randrange(end) for _ in range(2))
    kind = chance.randrange(7)
    if kind == 0:
        content[start] ^= 1 << chance.randrange(8)
    elif kind == 1:
        del content[start : start + chance.choice([1, 2, 8, 100])]
    elif kind == 2:
        content[start:start] = chance.randbytes(chance.choice([1, 4, 64]))
    elif kind == 3:
        del content[chance.choice([start, 0, 7, len(content) - 1]) :]
    elif kind == 4:
        content[other:other] = content[start : start + 200]
    elif kind == 5:
        digits = [i for i in range(8, end) if 48 <= content[i] <= 57] or [start]
        content[chance.choice(digits)] = chance.choice(b"0123456789-.eE")
    else:
        content[start:other] = chance.choice([b"[" * 50_000, b"9" * 10_000, b"\x00" * 100, b'{"a":' * 5_000])
    path.write_bytes(content)


def _json(path: Path, chance: random.Random) -> None:
    values = json.loads(path.read_text())
    path.write_text(json.dumps(_changed(values, chance)))


def _header(path: Path, chance: random.Random) -> None:
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    text = json.dumps(_changed(json.loads(content[8:end]), chance)).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[end:])


def _length(path: Path, chance: random.Random) -> None:
    content = path.read_bytes()
    length = chance.choice([0, 1, 2**20, 2**30, 2**63, 2**64 - 1, chance.randrange(2 * len(content))])
    path.write_bytes(length.to_bytes(8, "little") + content[8:])


def _replaced(path: Path, chance: random.Random) -> None:
    """Something else in the file's place."""
    path.unlink()
    kind = chance.randrange(7)
    if kind == 0:
        path.mkdir()
    elif kind == 1:
        path.symlink_to(path.parent.parent / OUTSIDE)
    elif kind == 2:
        path.symlink_to(path.name)
    elif kind == 3:
        os.mkfifo(path)
    elif kind == 4:
        path.write_bytes(b"")
    elif kind == 5:
        path.symlink_to("/dev/zero")


def _changed(values: Any, chance: random.Random) -> Any:
    """Return `values` with one node replaced by something hostile, taken out, doubled, renamed, or exchanged with another."""
    places = list(_places(values))
    if not places:
        return chance.choice(HOSTILE)
    holder, key = chance.choice(places)
    kind = chance.randrange(6)
    if kind <= 1:
        holder[key] = chance.choice(HOSTILE)
    elif kind == 2:
        del holder[key]
    elif kind == 3:
        other, place = chance.choice(places)
        holder[key], other[place] = json.loads(json.dumps([other[place], holder[key]]))
    elif kind == 4 and isinstance(holder, dict):
        holder[chance.choice(["a", f"{key}.", f"{key}"[:-1], "__metadata__", "weight_map"])] = holder.pop(key)
    elif isinstance(holder[key], int) and not isinstance(holder[key], bool):
        holder[key] += chance.choice([-8, -1, 1, 8, 2**32])
    else:
        holder[key] = [holder[key], holder[key]]
    return values


def _places(values: Any) -> Any:
    """Yield every (holder, key) in a tree of JSON."""
    pairs = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in list(pairs):
        yield values, key
        yield from _places(value)


def restore(folder: Path, pristine: Path) -> None:
    """Make `folder` a fresh copy of `pristine`."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(pristine, folder)
