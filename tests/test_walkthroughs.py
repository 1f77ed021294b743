"""Every walkthrough runs, without torch and transformers: each compares its stages with the model's own values as it goes."""

import ast
import importlib.util
import json
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


EXECUTE = (
    ABSENT + "import contextlib, json, build_notebooks as made; cells = made.cells_in(json.load(open(sys.argv[2])))\n"
    "contextlib.chdir(made.NOTEBOOKS).__enter__(); made.run_cells([('code', made.SETUP), *cells])"
)
"""Run the cells of a notebook as they lie in its file."""

specification = importlib.util.spec_from_file_location("build_notebooks", ROOT / "walkthroughs" / "build_notebooks.py")
build_notebooks = importlib.util.module_from_spec(specification)
specification.loader.exec_module(build_notebooks)


def tracked_files() -> dict[Path, int]:
    """Return the files of the package and of the walkthroughs, but for what git ignores, and when each was last written."""
    files = [path for folder in ("ovis2_ref", "walkthroughs") for path in (ROOT / folder).rglob("*") if path.is_file()]
    return {path: path.stat().st_mtime_ns for path in files if not {"__pycache__", "out"} & {*path.parts}}


def drawn_pictures(output: str) -> list[Path]:
    """Return the pictures that a walkthrough says it has drawn."""
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


@pytest.mark.parametrize("script", WALKTHROUGHS, ids=lambda script: script.name)
def test_notebook_is_the_script(script: Path) -> None:
    """Its notebook has the same cells, was run from its first to its last, and shows a picture wherever the script keeps one."""
    notebook = json.loads((build_notebooks.NOTEBOOKS / f"{script.stem}.ipynb").read_text(encoding="utf-8"))
    assert build_notebooks.cells_in(notebook) == build_notebooks.cells_of(script.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        body = ast.parse("".join(cell["source"])).body
        last = body[-1].value if body and isinstance(body[-1], ast.Expr) else None
        keeps = isinstance(last, ast.Call) and isinstance(last.func, ast.Name) and last.func.id == "keep"
        assert any("image/png" in output.get("data", {}) for output in cell["outputs"]) == keeps


@pytest.mark.parametrize(
    "script", [pytest.param(one, marks=[pytest.mark.slow] * (one != WALKTHROUGHS[0])) for one in WALKTHROUGHS]
)
def test_notebook_runs(script: Path) -> None:
    """The cells in the notebook's file run from a clean start, in the notebook's folder."""
    notebook = build_notebooks.NOTEBOOKS / f"{script.stem}.ipynb"
    command = [
        sys.executable,
        "-c",
        "import sys; sys.path.insert(0, sys.argv[1]);" + EXECUTE,
        str(script.parent),
        str(notebook),
    ]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize("name", build_notebooks.PICTURES)
def test_readme_shows(name: str) -> None:
    """The pictures that are renewed with the notebooks are there, and the README shows them."""
    assert (ROOT / "walkthroughs" / "pictures" / f"{name}.png").exists()
    assert f"pictures/{name}.png" in (ROOT / "walkthroughs" / "README.md").read_text(encoding="utf-8")
