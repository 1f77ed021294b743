"""Find a checkpoint by its hub id in the local hub cache; nothing is downloaded."""

import os
import re
from pathlib import Path

from ovis2_ref.errors import CheckpointError
from ovis2_ref.files.checks import shown
from ovis2_ref.files.reading import checked_folder

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


def checkpoint_folder(name: str | Path, cache_dir: str | Path | None = None, revision: str | None = None) -> Path:
    """Return the folder called `name`, or where the hub cache keeps the snapshot of the repository with that id.

    The cache is `cache_dir`, else HF_HUB_CACHE (earlier called HUGGINGFACE_HUB_CACHE), else HF_HOME/hub, else
    ~/.cache/huggingface/hub. `revision`: a branch, a tag or a commit, "main" by default. Raises `CheckpointError` that names the
    command which downloads the repository, if it isn't there.
    """
    if not isinstance(name, str | Path):
        raise CheckpointError(f"{shown(name)} is not the name of a folder, nor a hub id")
    if Path(name).exists() or not HUB_ID.fullmatch(str(name)) or ".." in str(name):
        return checked_folder(name)
    repository = hub_cache(cache_dir) / ("models--" + str(name).replace("/", "--"))
    reference = repository / "refs" / (revision or "main")
    if revision is not None and not re.fullmatch(r"[\w.-]+", revision, re.ASCII):
        raise CheckpointError(f"revision={shown(revision)} should be a branch, a tag or a commit")
    try:
        commit = reference.read_text(encoding="ascii").strip() if reference.is_file() else revision or "main"
    except (OSError, ValueError):
        commit = "main"
    snapshot = repository / "snapshots" / commit
    if not re.fullmatch(r"[\w.-]+", commit, re.ASCII) or not snapshot.is_dir():
        command = f"hf download {name}" + (f" --revision {revision}" if revision else "")
        raise CheckpointError(
            f"there is no folder {str(name)!r}, nor a copy of that repository in {hub_cache(cache_dir)}; "
            f"download it with: {command}"
        )
    return checked_folder(snapshot)


def hub_cache(cache_dir: str | Path | None = None) -> Path:
    """Return the folder in which huggingface_hub keeps what it has downloaded."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    cache = cache_dir or os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return Path(cache or Path(home) / "hub").expanduser()
