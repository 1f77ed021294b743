"""The watch on a case reports what a case did: each kind of outcome, once."""

import os
import pickle
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ovis2_ref.errors import InputError
from tests.hostile.bounded import bounded


def refuse() -> None:
    raise InputError("no")


def spin() -> None:
    while True:
        time.process_time()


@pytest.mark.parametrize(
    ("case", "kind"),
    [
        (lambda: 3, "right"),
        (refuse, "refused"),
        (lambda: [][0], "foreign"),
        (lambda: subprocess.run(["true"]), "forbidden"),
        (lambda: os.system("true"), "forbidden"),
        (lambda: pickle.loads(b"cos\nsystem\n."), "forbidden"),
        (lambda: Path("/etc/hostname").read_bytes(), "forbidden"),
        (lambda: os._exit(3), "died"),
        (spin, "hung"),
    ],
)
def test_outcomes(case: Callable[[], Any], kind: str, tmp_path: Path) -> None:
    assert bounded(case, 1, (tmp_path,)).kind == kind


def test_memory_is_measured() -> None:
    """What was freed again counts, too."""
    assert 0.99 * 2**28 < bounded(lambda: len(b"x" * 2**28)).peak < 1.1 * 2**28
