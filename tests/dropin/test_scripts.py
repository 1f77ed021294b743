"""Whole scripts, as people write them for transformers: with one import changed they print the same."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ovis2_ref import TINY
from tests.text.reference import V5

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.py"))
REPOSITORY = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not V5, reason="the scripts are written for transformers 5")


def place(folder: Path) -> dict[str, str]:
    """Return what the scripts find: the checkpoint and pictures in their folder, and the checkpoint in a hub cache, by its
    hub id.
    """
    shutil.copytree(TINY, folder / "Ovis2-tiny")
    for picture in (TINY.parent / "samples").glob("*.png"):
        shutil.copy(picture, folder)
    repository = folder / "home" / "hub" / "models--thisisiron--Ovis2-2B-hf"
    shutil.copytree(TINY, repository / "snapshots" / "1234567890123456789012345678901234567890")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("1234567890123456789012345678901234567890")
    return {
        "HF_HOME": str(folder / "home"),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(REPOSITORY),
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """What every script prints, with each library; one process for each, at the same time."""
    processes = {}
    for library in ("transformers", "ovis2_ref"):
        folder = tmp_path_factory.mktemp(library)
        command = [sys.executable, str(Path(__file__).with_name("runner.py")), library, *map(str, SCRIPTS)]
        environment = {**os.environ, **place(folder)}
        processes[library] = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    outputs = {library: process.communicate() for library, process in processes.items()}
    results = {}
    for library, (output, errors) in outputs.items():
        assert output, errors
        results[library] = json.loads(output)
    assert not results["ovis2_ref"]["loaded"], "a script with the import changed loaded transformers"
    return {library: result["printed"] for library, result in results.items()}


@pytest.mark.parametrize("name", [script.name for script in SCRIPTS])
def test_one_import_changed(printed: dict[str, dict[str, str]], name: str) -> None:
    """The script prints something, nothing of it an error, and the same with both libraries."""
    theirs, ours = printed["transformers"][name], printed["ovis2_ref"][name]
    assert theirs.strip() and "Traceback" not in theirs, theirs
    assert ours == theirs


def test_there_are_enough() -> None:
    assert len(SCRIPTS) >= 25
