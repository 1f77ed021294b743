"""Make the notebooks from the walkthroughs: `python walkthroughs/build_notebooks.py [00_tour ...]` (default: all).

A notebook has the cells of its script, what they print, and the pictures that they return. Nothing there is written by
hand: after a change of a script, or of the tiny checkpoint, make them again. A test compares the cells of both.
"""

import ast
import base64
import contextlib
import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NOTEBOOKS = HERE / "notebooks"
PICTURES = ("02_programs", "03_vectors", "05_words", "05_table", "07_changed", "09_red", "09_heads", "11_lens")
"""Pictures that README.md shows: they are copied from `out` into `pictures`."""
SETUP = "import sys\n\nsys.path.insert(0, '..')  # show.py, which the walkthroughs share, lies one folder up"
"""The cell that a notebook has before those of its script."""

Cell = tuple[str, str]
"""("markdown" or "code", text)."""


def cells_of(script: str) -> list[Cell]:
    """Cut a script at its `# %%` lines. The text of a markdown cell comes without its comment signs."""
    cells: list[tuple[str, list[str]]] = []
    for line in script.splitlines():
        if line.startswith("# %%"):
            cells.append(("markdown" if "[markdown]" in line else "code", []))
        else:
            kind, lines = cells[-1]
            lines.append(line.removeprefix("#").removeprefix(" ") if kind == "markdown" else line)
    return [(kind, "\n".join(lines).strip("\n")) for kind, lines in cells]


def cells_in(notebook: dict[str, Any]) -> list[Cell]:
    """Return the cells of a notebook, without the one for its setup."""
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]
    return [cell for cell in cells if cell != ("code", SETUP)]


def run_cell(code: str, variables: dict[str, Any]) -> list[dict[str, Any]]:
    """Run a cell and return what it prints and, if its last line is an expression with a picture, that, as outputs."""
    tree, value, printed = ast.parse(code), None, io.StringIO()
    with contextlib.redirect_stdout(printed):
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "cell", "exec"), variables)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), "cell", "eval"), variables)
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        outputs.append(
            {"output_type": "stream", "name": "stdout", "text": printed.getvalue().splitlines(keepends=True)}
        )
    if hasattr(value, "_repr_png_"):
        file = io.BytesIO()
        value.quantize(64).save(file, "PNG", optimize=True)
        data = {"image/png": base64.b64encode(file.getvalue()).decode(), "text/plain": ["a picture"]}
        outputs.append({"output_type": "display_data", "metadata": {}, "data": data})
    return outputs


def run_cells(cells: list[Cell]) -> dict[str, Any]:
    """Run the cells in order, from a clean start, and return them as a notebook."""
    variables: dict[str, Any] = {"__name__": "__main__"}
    made: list[dict[str, Any]] = []
    for number, (kind, text) in enumerate(cells):
        cell: dict[str, Any] = {"cell_type": kind, "id": f"cell{number}", "metadata": {}}
        cell["source"] = text.splitlines(keepends=True)
        if kind == "code":
            cell |= {"execution_count": len([one for one in made if one["cell_type"] == "code"]) + 1}
            cell |= {"outputs": run_cell(text, variables)}
        made.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": made, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def main(names: list[str]) -> None:
    """Make the notebooks of these scripts, or of all, and renew the README's pictures that they draw."""
    NOTEBOOKS.mkdir(exist_ok=True)
    for script in sorted(HERE.glob("[0-9][0-9]_*.py")):
        if names and script.stem not in names:
            continue
        cells = cells_of(script.read_text(encoding="utf-8"))
        with contextlib.chdir(NOTEBOOKS):  # as Jupyter does
            notebook = run_cells([cells[0], ("code", SETUP), *cells[1:]])
        text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
        (NOTEBOOKS / f"{script.stem}.ipynb").write_text(text, encoding="utf-8")
        print(f"notebooks/{script.stem}.ipynb: {len(text) // 1024} KiB")
        for picture in PICTURES:
            if picture.startswith(script.stem[:2]):
                shutil.copyfile(HERE / "out" / f"{picture}.png", HERE / "pictures" / f"{picture}.png")


if __name__ == "__main__":
    main(sys.argv[1:])
