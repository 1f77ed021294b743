"""Every walkthrough runs, without torch and transformers: each compares its stages with the model's own values as it goes.

Its notebook is the script, and the pictures say what the numbers say.
"""

import ast
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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

seeds = st.integers(0, 2**32 - 1)


def load(name: str) -> ModuleType:
    """Return a module of the walkthroughs' folder, which is no package."""
    specification = importlib.util.spec_from_file_location(name, ROOT / "walkthroughs" / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


build_notebooks, plots, show = load("build_notebooks"), load("plots"), load("show")


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
        tree = ast.parse("".join(cell["source"]))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        kept = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "keep"]
        last = tree.body[-1].value if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        assert kept in ([], [last]), "a notebook shows only what the last line of a cell returns"
        assert any("image/png" in output.get("data", {}) for output in cell["outputs"]) == bool(kept)


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


@pytest.mark.parametrize("script", WALKTHROUGHS, ids=lambda script: script.name)
def test_names_the_one_file(script: Path) -> None:
    """It says which functions of `ovis2.py` it explains, and these are there."""
    functions = {node.name for node in ast.parse((ROOT / "walkthroughs" / "ovis2.py").read_text()).body
                 if isinstance(node, ast.FunctionDef)}  # fmt: skip
    first = build_notebooks.cells_of(script.read_text(encoding="utf-8"))[0][1]
    assert "`ovis2.py`" in first
    named = re.findall(r"`(\w+)`", first.partition("`ovis2.py`")[2].partition(". ")[0])
    assert set(named) <= functions | {"n", "S", "P", "D", "s", "T", "V", "t", "H"}


def test_plots_need_matplotlib() -> None:
    """Without matplotlib a script ends in one line that says what to install."""
    code = "import sys; sys.modules['matplotlib'] = None; sys.path.insert(0, sys.argv[1]); import plots"
    command = [sys.executable, "-c", code, str(ROOT / "walkthroughs")]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 1 and len(process.stderr.splitlines()) == 1 and "pip install" in process.stderr


@settings(max_examples=5)
@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=5))
def test_bars(values: list[float]) -> None:
    """Bars are as long as their values."""
    chart = np.asarray(plots.bars({str(i): value for i, value in enumerate(values)}, "lengths", "x"))
    blue = (chart == [0x00, 0x72, 0xB2]).all(axis=-1)
    heights = blue.any(axis=1)
    starts = np.flatnonzero(heights & ~np.roll(heights, 1))
    lengths = np.array([blue[start : start + 15].sum(axis=1).max() for start in starts])
    expected = np.array([value for value in values if value > 0.01 * max(values)])
    np.testing.assert_allclose(
        np.sort(lengths)[-len(expected) :], np.sort(expected) / max(values) * lengths.max(), atol=4
    )


@settings(max_examples=20)
@given(seeds, st.integers(1, 4), st.integers(1, 4))
def test_spotlight(seed: int, rows: int, columns: int) -> None:
    """A white picture is as bright in each cell as its weight, from 40 of 255 for nothing to 255 for the largest."""
    weights = np.random.default_rng(seed).random((rows, columns))
    white = np.full((rows * 30, columns * 30, 3), 255, np.uint8)
    lit = np.asarray(show.spotlight(white, weights, 30 * max(rows, columns))).astype(float)
    np.testing.assert_allclose(lit[15::30, 15::30, 0], 40 + 215 * weights / weights.max(), atol=1)


@settings(max_examples=20)
@given(seeds, st.integers(1, 5), st.integers(1, 3))
def test_panel(seed: int, count: int, columns: int) -> None:
    """Every picture is there, whole, in reading order, and nothing else has colours."""
    random = np.random.default_rng(seed)
    blocks = [Image.new("RGB", (20, 30), (*random.integers(1, 120, 2).tolist(), 255)) for _ in range(count)]
    sheet = np.asarray(show.panel(blocks, "a caption", [f"number {i}" for i in range(count)], columns)).astype(int)
    places = np.argwhere(sheet[..., 2] - sheet[..., 0] > 100)
    assert len(places) == count * 20 * 30
    corners = [(row, column) for row, column in places if not ((places == [row - 1, column]).all(axis=1).any()
               or (places == [row, column - 1]).all(axis=1).any())]  # fmt: skip
    assert [tuple(sheet[corner]) for corner in corners] == [block.getpixel((0, 0)) for block in blocks]
