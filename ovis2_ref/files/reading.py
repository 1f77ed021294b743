"""Open the files of a checkpoint folder. Each must lie inside it and be a regular file of a bounded size."""

import json
import os
import re
import stat
from pathlib import Path
from typing import IO, Any

from ovis2_ref.errors import CheckpointError
from ovis2_ref.files.checks import shown

JSON_LIMIT = 2**20
"""Bytes of a JSON file at most: a hundred times the largest published configuration; parsing it takes little memory."""


DEEPEST = 50
"""Levels of a JSON file at most; a configuration has five. Writing JSON is recursive, so a deeper file could end Python."""


OTHER_FILES = {
    b"version https://git-lfs": "a Git LFS pointer, which stands for the file: run `git lfs pull` in its folder, or download it",
    b"GGUF": "a GGUF file, which is llama.cpp's format: take the safetensors that it was made from",
    b"PK\x03\x04": "a zip archive, such as torch.save writes: a pickle, which is never read; save the model as safetensors",
    b"<!DOCTYPE": "a web page: download the file again",
    b"<html": "a web page: download the file again",
}
"""How files begin that are found in the place of others, and what to do."""


def other_file(start: bytes) -> str | None:
    """Return what a file that begins with `start` is, if it is one that is often found in another's place."""
    return next((what for beginning, what in OTHER_FILES.items() if start.startswith(beginning)), None)


def checked_folder(folder: str | Path) -> Path:
    """Return `folder` as an absolute path with every link followed. Raises `CheckpointError` if it is not a folder."""
    if not isinstance(folder, str | Path):
        raise CheckpointError(f"{shown(folder)} is not the name of a folder")
    try:
        path = Path(folder).resolve(strict=True)
        is_folder = path.is_dir()
    except (
        OSError,
        ValueError,
        RuntimeError,
    ) as error:  # ValueError: a NUL in the name; RuntimeError: links in a circle
        raise CheckpointError(f"there is no checkpoint folder {str(folder)!r} ({_reason(error)})") from error
    if not is_folder:
        is_gguf = path.suffix == ".gguf"
        hint = OTHER_FILES[b"GGUF"] if is_gguf else "give the folder that holds config.json and the weights"
        raise CheckpointError(f"{str(folder)!r} is {hint}" if is_gguf else f"{str(folder)!r} is a file; {hint}")
    return path


def path_inside(folder: str | Path, name: str) -> Path:
    """Return the regular file called `name` in `folder`, links followed.

    A link may end in the folder itself, or, in a snapshot of the Hugging Face cache (models--x/snapshots/revision), in that
    model's blobs/. Raises `CheckpointError` if the file is missing, lies anywhere else, or is no regular file.
    """
    root = checked_folder(folder)
    if Path(name).name != name or "\\" in name:
        raise CheckpointError(
            f"{name!r} is not the name of a file in {root}; a checkpoint is read from its own folder alone"
        )
    try:
        path = (root / name).resolve(strict=True)
        is_file = stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{root} has no usable {name!r} ({_reason(error)})") from error
    blobs = root.parent.parent / "blobs"
    if path.parent != root and not (root.parent.name == "snapshots" and path.parent == blobs):
        raise CheckpointError(f"{root / name} is a link out of the folder; copy the file itself into it")
    if not is_file:
        raise CheckpointError(f"{root / name} is not a regular file")
    return path


def open_regular(path: Path) -> IO[bytes]:
    """Open the regular file at `path`, whose links have been followed. Raises `CheckpointError` if it can't be opened.

    The check looks at the opened file, so that a link or a pipe that has replaced the file in between is refused.
    """
    flags = os.O_RDONLY | sum(getattr(os, flag, 0) for flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
    try:
        descriptor = os.open(path, flags)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return open(descriptor, "rb", buffering=0)
        os.close(descriptor)
    except OSError as error:
        raise CheckpointError(f"{path} can't be read ({_reason(error)})") from error
    raise CheckpointError(f"{path} is not a regular file")


def has_file(folder: str | Path, name: str) -> bool:
    """Return True if `folder` holds an entry called `name`, a broken link included."""
    path = Path(folder) / name
    try:
        return path.exists() or path.is_symlink()
    except OSError as error:
        raise CheckpointError(f"{path} can't be examined ({_reason(error)})") from error


def read_bounded(folder: str | Path, name: str, limit: int) -> bytes:
    """Return the bytes of the file called `name` in `folder`. Raises `CheckpointError` if there are more than `limit`."""
    path = path_inside(folder, name)
    with open_regular(path) as file:
        try:
            size = file.seek(0, 2)
            if size > limit:
                raise CheckpointError(f"{path} holds {size} bytes; at most {limit} are read")
            file.seek(0)
            return file.read(size)
        except OSError as error:
            raise CheckpointError(f"{path} can't be read ({_reason(error)})") from error


def read_json(folder: str | Path, name: str, limit: int = JSON_LIMIT) -> dict[str, Any]:
    """Return the JSON object in the file called `name` in `folder`. Raises `CheckpointError` if it isn't there or too large."""
    return parse_json(read_bounded(folder, name, limit), str(Path(folder) / name))


def parse_json(content: bytes, source: str) -> dict[str, Any]:
    """Return the JSON object in `content`; keys must be unique. Raises `CheckpointError`, naming `source`, if it is none."""
    if other := other_file(content[:64]):
        raise CheckpointError(f"{source} is {other}")
    try:
        text = content.decode("utf-8")
        values = json.loads(text, object_pairs_hook=_unique)
        if _deeper(values, DEEPEST):
            raise ValueError(f"it is nested more than {DEEPEST} deep")
        if re.search(r"\\u[dD]", text):  # escapes can spell half of a surrogate pair, which no text may hold
            json.dumps(values, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:  # RecursionError: brackets nested by the thousand
        raise CheckpointError(f"{source} can't be read as JSON: {_reason(error)}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{source} holds a JSON {type(values).__name__}; an object was expected")
    return values


def _deeper(values: Any, levels: int) -> bool:
    """Return True if `values` holds lists or objects more than `levels` deep."""
    parts = values.values() if isinstance(values, dict) else values if isinstance(values, list) else ()
    return levels < 0 or any(_deeper(part, levels - 1) for part in parts if isinstance(part, dict | list))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"the key {key!r} comes twice")
        values[key] = value
    return values


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)
