"""Copies of the package's small checkpoints, to be damaged. Nothing here imports torch, so that forks stay small."""

import json
import shutil
from pathlib import Path
from typing import Any

from ovis2_ref import TINY

AUTHORS = Path(__file__).parents[1] / "golden_original" / "checkpoint"
"""A checkpoint in the authors' layout."""


def copied(source: Path, target: Path) -> Path:
    """Copy the checkpoint `source` to `target`, with files that can be written to."""
    shutil.copytree(source, target)
    for path in target.iterdir():
        path.chmod(0o644)
    return target


def tiny(target: Path) -> Path:
    """Return a copy of the tiny checkpoint."""
    return copied(TINY, target)


def authors(target: Path) -> Path:
    """Return a copy of the authors' checkpoint."""
    return copied(AUTHORS, target)


def change(folder: Path, name: str, values: dict[str, Any], part: str | None = None) -> None:
    """Put `values` into the JSON file `name` of `folder`, or into a part of it."""
    path = folder / name
    whole = json.loads(path.read_text()) if path.exists() else {}
    (whole.setdefault(part, {}) if part else whole).update(values)
    path.write_text(json.dumps(whole))
