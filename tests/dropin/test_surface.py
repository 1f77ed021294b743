"""Each public name and argument of transformers' classes works here, or raises our error that says what to do."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.text.reference import V5


@pytest.mark.skipif(not V5, reason="the tables are those of transformers 5")
def test_nothing_else_is_raised() -> None:
    """In a separate process: the checks of shapes that the tests switch on would refuse odd values before we do."""
    command = [sys.executable, "-m", "tests.dropin.surface", "--list"]
    process = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    counts = re.findall(r"^all (\w+) +(\d+) .* (\d+) other$", process.stdout, re.MULTILINE)
    assert [what for what, _, _ in counts] == ["attributes", "arguments"]
    assert [other for _, _, other in counts] == ["0", "0"], process.stdout
    assert all(int(number) > 250 for _, number, _ in counts)
