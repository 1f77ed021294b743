"""Freed memory stays with the process."""

import platform
import subprocess
import sys

import pytest

FAULTS_OF_A_SECOND_ARRAY = """
import resource, numpy as np
from ovis2_ref.runtime.memory import keep_freed_memory
if {keep}: keep_freed_memory()
for _ in range(2):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [np.full(300_000, 1.0) for _ in range(10)]
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    del arrays
print(faults)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's memory can be told to stay")
def test_freed_memory_is_used_again() -> None:
    """Arrays of 24 MB in all, made a second time, need no new pages; without being kept they need each of their 5,860 again."""
    kept, given_back = (
        int(subprocess.check_output([sys.executable, "-c", FAULTS_OF_A_SECOND_ARRAY.format(keep=keep)]))
        for keep in (True, False)
    )
    assert kept < 100 < 1000 < given_back
