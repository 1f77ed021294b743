"""Taps without a listener: at most 1 % of the tiny model's time, in a process of its own where signatures are not checked."""

import subprocess
import sys


def test_taps_are_free():
    run = subprocess.run([sys.executable, "-m", "tests.golden.tap_cost"], check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
