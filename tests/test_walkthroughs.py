"""Every walkthrough runs as a script: each checks its stages against the model's own values as it goes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

WALKTHROUGHS = sorted((Path(__file__).parent.parent / "walkthroughs").glob("*.py"))


@pytest.mark.parametrize("script", WALKTHROUGHS, ids=lambda script: script.name)
def test_runs(script):
    """It ends well and says something."""
    assert WALKTHROUGHS
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    process = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=environment)
    assert process.returncode == 0, process.stderr
    assert "answer:" in process.stdout
