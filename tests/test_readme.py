"""The README is true: its example prints what it shows, its table is computed, every document's links lead somewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ovis2_ref.config import Ovis2Config
from ovis2_ref.image.cutting import canvas_grid
from ovis2_ref.image.processor import Ovis2ImageProcessor
from ovis2_ref.tools.costs import operations, parameters

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [path for path in ROOT.rglob("*.md") if not {".venv", "node_modules"} & set(path.parts)]


def run(*command: str) -> str:
    """Return what a command prints in the repository's root, in UTF-8."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", check=True
    ).stdout


def test_the_python_example_prints_what_is_shown():
    code, shown = re.search(r"```python\n(from PIL.*?)```\n\n```\n(.*?)```", README, re.DOTALL).groups()
    assert run("-c", code) == shown


def test_the_command_prints_what_is_shown():
    answer = re.search(r"describes the picture in the figure: \*(.*?)\*", README)[1]
    assert run("-m", "ovis2_ref", "describe").strip() == answer


def test_the_excerpt_is_of_the_one_file():
    """Every function that the README shows stands in the file, word for word."""
    excerpt = next(block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if block.startswith("def "))
    file = (ROOT / "walkthroughs" / "ovis2.py").read_text(encoding="utf-8")
    functions = excerpt.strip().split("\n\n")
    assert len(functions) >= 3
    assert [function for function in functions if function not in file] == []


def test_the_table_of_sizes_is_computed():
    """Parameters, bytes, and the products of seven tiles and their tokens in a prompt."""
    rows = re.findall(r"\| (Ovis2-\d+B) \| ([\d.]+) G \| ([\d.]+) GiB \| ([\d.]+) GiB \| (\d+) TFLOP \|", README)
    assert len(rows) == 6
    height, width = 720, 1280
    images = Ovis2ImageProcessor(crop_to_patches=True, size={"height": 448, "width": 448})
    rows_of_tiles, columns = canvas_grid(height, width, images, images.convention.transposed_grid)
    tiles = rows_of_tiles * columns + 1
    for name, *shown in rows:
        config = Ovis2Config.preset(name)
        count = sum(parameters(config).values())
        costs = operations(config, tiles, tiles * config.vision_config.tokens_per_tile + tiles + 1)
        products = sum(costs.values()) - costs["one more token"]
        computed = (count / 1e9, 2 * count / 2**30, 4 * count / 2**30, products / 1e12)
        assert shown == [f"{value:.{digits}f}" for value, digits in zip(computed, (2, 1, 1, 0), strict=True)], name


def headings(path: Path) -> set[str]:
    """Return the anchors that a document's headings have on a page."""
    lines = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path):
    """Files and pictures exist; an anchor is a heading of its document."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://", target):
            continue
        file, _, anchor = target.partition("#")
        there = path.parent / file if file else path
        assert there.exists(), target
        assert not anchor or anchor in headings(there), target
