"""Corrupted checkpoints, hundreds in the normal run and 20,000 in the long one (-m slow): see corruption_run.py for what has to
hold. They run in a process of their own, without the checking of signatures, which would take longer than all else, and so that
its peak memory is theirs.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkpoint.memory import STATUS

pytestmark = pytest.mark.skipif(not STATUS.exists(), reason="Linux tells a process's peak memory")


def corruptions(first: int, count: int, program: str = "corruption_run") -> dict[str, int]:
    """Return the figures of a run."""
    command = [sys.executable, "-m", f"tests.checkpoint.{program}", str(first), str(count)]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_hundreds():
    figures = corruptions(0, 200)
    assert figures["refused"] > 100
    assert figures["loaded"] > 30


@pytest.mark.slow
def test_twenty_thousand():
    figures = corruptions(10**6, 20_000)
    print(figures)
    assert figures["refused"] + figures["loaded"] == 20_000


def test_a_hundred_packed_and_adapted():
    figures = corruptions(0, 100, "packed_corruption_run")
    assert figures["refused"] > 20
    assert figures["loaded"] > 20


@pytest.mark.slow
def test_twenty_thousand_packed_and_adapted():
    figures = corruptions(10**6, 20_000, "packed_corruption_run")
    print(figures)
    assert figures["refused"] + figures["loaded"] == 20_000
