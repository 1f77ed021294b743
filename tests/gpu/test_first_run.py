"""The scripts of a first run on a GPU, dry: they run on the stand-in for CuPy, so they can't go stale before a GPU is there."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

import pytest

from tests.benchmarks import bench_gpu, gpu_parts
from tests.gpu import smoke
from tests.standin.module import standin_cupy

SCRIPT = Path(__file__).with_name("first_run.sh")


def test_smoke(capsys: pytest.CaptureFixture[str]) -> None:
    """Every check passes, and its figures are those of right programs."""
    with standin_cupy():
        assert smoke.main(["--tiny"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("recorded equal, CPU's equal") == 4
    errors = [float(error) for error in re.findall(r"width \d+: ([\d.e-]+)", printed)]
    assert len(errors) == 4
    assert max(errors) < 5e-3


def test_smoke_counts_what_fails(capsys: pytest.CaptureFixture[str]) -> None:
    with standin_cupy(), patch.object(smoke, "matmul", side_effect=ValueError("planted")):
        assert smoke.main(["--tiny"]) == 2
    assert "planted" in capsys.readouterr().out


def test_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    """A row for each stage and way to compute it, all of positive speeds."""
    with standin_cupy():
        bench_gpu.main(["--tiny", "--dtypes", "bfloat16", "--rounds", "1"])
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("| tiny")]
    stages = [row[2].strip() for row in rows]
    assert stages == [
        "encode",
        "encode, attention in one kernel",
        "prefill",
        "prefill, attention in one kernel",
        "decode, batch 1",
        "decode, batch 1, step by step",
        "decode, batch 8",
        "decode, batch 8, step by step",
    ]
    assert all(float(row[7].replace(",", "")) > 0 for row in rows)


def test_parts(capsys: pytest.CaptureFixture[str]) -> None:
    """Each stage is timed, and the recorded step has nodes and no allocation."""
    with standin_cupy():
        gpu_parts.main(["--tiny"])
    printed = capsys.readouterr().out
    assert re.search(r"recorded in [\d.]+ s: [1-9]\d* nodes, 0 allocations", printed)
    for stage in ("encode, ovis2_ref", "prefill, sdpa", "a step", "20 replays"):
        assert re.search(rf"^{stage}.*: [\d.]+ ms", printed, re.MULTILINE), stage


def test_the_script_runs_what_is_there() -> None:
    """The shell script is valid, and each of its commands names a module or a folder of this repository."""
    assert subprocess.run(["bash", "-n", SCRIPT]).returncode == 0
    named = re.findall(r"python3 -m (\S+)", SCRIPT.read_text())
    assert set(named) == {"tests.gpu.smoke", "pytest", "tests.benchmarks.bench_gpu", "tests.benchmarks.gpu_parts"}
    assert all(import_module(name) for name in named)


def test_without_a_gpu_the_script_fails() -> None:
    """What is missing is the first line of the log, and the exit status tells."""
    code = "import sys; sys.modules['cupy'] = None\nfrom tests.gpu.smoke import main\nmain()"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=SCRIPT.parents[2])
    assert run.returncode != 0
    assert "DeviceError" in run.stderr
