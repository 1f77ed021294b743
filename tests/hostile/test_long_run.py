"""The long run: 20,000 golden files, 10,000 pictures, 10,000 checkpoints, 3,000 tokenizers, 5,000 wrong
calls (`-m slow`); some of each always.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest


def long_run(kind: str, first: int, count: int) -> dict:
    """Return the result of a run in a separate process with its own imports only."""
    command = [sys.executable, "-m", "tests.hostile.long_run", kind, str(first), str(count)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", ["golden", "pictures", "checkpoints", "tokenizers"])
def test_some_of_each(kind: str) -> None:
    result = long_run(kind, 0, 40)
    assert result["broken"] == []
    assert result["right"] > 0
    assert result["refused"] > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "count"),
    [("golden", 20_000), ("pictures", 10_000), ("checkpoints", 10_000), ("tokenizers", 3_000), ("calls", 5_000)],
)
def test_all(kind: str, count: int) -> None:
    result = long_run(kind, 10**6, count)
    print(result)
    assert result["broken"] == []
