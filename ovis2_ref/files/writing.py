"""Write files without losing any: write a file or a folder beside its target, and replace the target once it is complete.

A full disk, an error or Ctrl-C leaves what was there before. The new file gets a random name, and is made only if nothing has
that name, so a planted link is never written through.
"""

import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from ovis2_ref.errors import CheckpointError, OvisError
from ovis2_ref.files.checks import shown


@contextmanager
def replacing(path: str | Path, error: type[OvisError] = CheckpointError) -> Iterator[IO[bytes]]:
    """Open a new file that replaces the one at `path` when the block ends without an error.

    Raises `error` if it can't be written, or if `path` is there and no regular file.
    """
    target = _target(path, error)
    with _errors(target, error):
        if target.exists() and not target.is_file():
            raise error(f"{target} is there and is no regular file; give the name of a file")
        unfinished = _beside(target)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            with open(os.open(unfinished, flags, 0o666), "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, target)
        finally:
            with suppress(OSError):
                unfinished.unlink()


@contextmanager
def replacing_files(folder: str | Path, error: type[OvisError] = CheckpointError) -> Iterator[Path]:
    """Make a new empty folder, whose files move into `folder` when the block ends without an error, and replace its files.

    A new `folder` appears only once it is complete. Raises `error` if it can't be written.
    """
    target = _target(folder, error)
    with _errors(target, error):
        if target.exists() and not target.is_dir():
            raise error(f"{target} is a file; give the name of a folder")
        is_new = not target.exists()
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = _beside(target) if is_new else _beside(target / "files")
        unfinished.mkdir()
        try:
            yield unfinished
            if is_new:
                unfinished.rename(target)
            else:
                for part in sorted(unfinished.iterdir()):
                    os.replace(part, target / part.name)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def write_text(path: str | Path, text: str, error: type[OvisError] = CheckpointError) -> None:
    """Write a file of UTF-8 text, whole or not at all."""
    with replacing(path, error) as file:
        file.write(text.encode("utf-8"))


def json_text(values: Mapping[str, Any]) -> str:
    """Return `values` as the text of a settings file, its keys in order."""
    return json.dumps(values, indent=2, sort_keys=True, default=str) + "\n"


def _target(path: Any, error: type[OvisError]) -> Path:
    if not isinstance(path, str | Path):
        raise error(f"{shown(path)} is not the name of a file or a folder")
    return Path(path)


@contextmanager
def _errors(target: Path, error: type[OvisError]) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as raised:  # ValueError: a NUL in the name, half of a surrogate pair
        if isinstance(raised, OvisError):
            raise
        raise error(f"{target} can't be written ({getattr(raised, 'strerror', None) or raised})") from raised


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name[:100]}.{secrets.token_hex(8)}.part")
