"""Every walkthrough runs, without torch and transformers: each compares its stages with the model's own values as it goes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
WALKTHROUGHS = sorted((ROOT / "walkthroughs").glob("[0-9][0-9]_*.py"))
ABSENT = "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
"""Python raises ImportError for a module that is None there."""
RUN = ABSENT + "import runpy; sys.path.insert(0, sys.argv[1]); runpy.run_path(sys.argv[2], run_name='__main__')"


def tracked_files() -> dict[Path, int]:
    """The files of the package and of the walkthroughs, but for what git ignores, and when each was last written."""
    files = [path for folder in ("ovis2_ref", "walkthroughs") for path in (ROOT / folder).rglob("*") if path.is_file()]
    return {path: path.stat().st_mtime_ns for path in files if not {"__pycache__", "out"} & {*path.parts}}


def drawn_pictures(output: str) -> list[Path]:
    """The pictures that a walkthrough says it has drawn."""
    lines = output.splitlines()
    return [ROOT / line.removeprefix("picture: ") for line in lines if line.startswith("picture: ")]


@pytest.mark.parametrize("script", WALKTHROUGHS, ids=lambda script: script.name)
def test_runs(script: Path) -> None:
    """It ends well from a clean start, draws pictures that are not blank, and changes no file of the project."""
    for picture in (ROOT / "walkthroughs" / "out").glob(f"{script.name[:2]}_*.png"):
        picture.unlink()
    before = tracked_files()
    command = [sys.executable, "-W", "error", "-c", RUN, str(script.parent), str(script)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert tracked_files() == before
    pictures = drawn_pictures(process.stdout)
    assert pictures and len(set(pictures)) == len(pictures)
    for picture in pictures:
        assert picture.name.startswith(script.name[:2])
        assert np.asarray(Image.open(picture)).std() > 5, f"{picture.name} is blank"


@pytest.mark.parametrize("script", WALKTHROUGHS, ids=lambda script: script.name)
def test_is_short(script: Path) -> None:
    """It is read in one sitting, and explains before it computes."""
    lines = script.read_text().splitlines()
    assert len(lines) <= 210
    assert lines[0] == "# %% [markdown]" and lines[1].startswith(f"# # {script.name[:2]}. ")
