"""The package's own rules: what it depends on, which way its imports go, what its README names."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterable
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import ovis2_ref

ROOT = Path(ovis2_ref.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
ROOMS = (
    *(
        "errors",
        "files",
        "runtime",
        "convention",
        "activations",
        "ops",
        "config",
        "image",
        "text",
        "vision",
        "language",
    ),
    *(
        "merge",
        "gradients",
        "checkpoint",
        "model_arguments",
        "generation",
        "model",
        "golden",
        "exercises",
        "page",
        "tools",
    ),
)
"""The rooms from the ground up: each imports only from those before it, and from itself."""
USERS_OF_COMPAT = {
    *("__init__.py", "public.py", "model.py", "checkpoint/pretrained.py", "config/__init__.py", "image/processor.py"),
    *("generation/__init__.py", "generation/config.py", "generation/generative_model.py"),
    *("text/processor.py", "text/tokenizer.py", "tools/describe.py"),
}
"""The files of what scripts call, the only ones that know `compat`: no formula, and no record that a formula uses."""


def imports_of(path: Path) -> set[str]:
    """Return the rooms that a file imports at any place in it."""
    return {module.split(".")[1] for module in modules_of(ast.walk(ast.parse(path.read_text())))}


def modules_of(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the modules of the package that the statements in `nodes` import from."""
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    return {node.module for node in imports if (node.module or "").startswith("ovis2_ref.")}


def functions_of(path: Path) -> set[str]:
    """Return the functions that a file defines, methods as Class.method."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{method.name}" for method in node.body if isinstance(method, ast.FunctionDef)}
        elif isinstance(node, ast.FunctionDef):
            names.add(node.name)
    return names


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize(
    "path", [path for path in FILES if room_of(path) in ROOMS], ids=lambda p: str(p.relative_to(ROOT))
)
def test_imports_go_down(path):
    """A room knows nothing of those above it; vision, language and image nothing of each other."""
    room = room_of(path)
    below = set(ROOMS[: ROOMS.index(room)]) - (
        {"image", "text", "vision", "language"} if room in ("vision", "language") else set()
    )
    assert imports_of(path) - {room, "tiny", "compat"} <= below


def test_only_what_scripts_call_uses_compat():
    """Formulas and their records stand on their own."""
    users = {
        str(path.relative_to(ROOT)) for path in FILES if "compat" in imports_of(path) and room_of(path) != "compat"
    }
    assert users == USERS_OF_COMPAT


def test_imports_close_no_circle():
    """No file imports, at its start, one that imports it, directly or through others."""
    modules = {".".join(path.relative_to(ROOT.parent).with_suffix("").parts): path for path in FILES}
    imports = {name: modules_of(ast.parse(path.read_text()).body) & set(modules) for name, path in modules.items()}
    TopologicalSorter(imports).prepare()  # raises CycleError


def test_every_room_is_known():
    """A new room is added to `ROOMS`."""
    assert {room_of(path) for path in FILES} - set(ROOMS) == {"__init__", "__main__", "public", "tiny", "compat"}


def test_the_readme_lists_the_rooms_in_order():
    """README's table of rooms has every room once, in the order of their imports, and names files that exist."""
    table = (ROOT / "README.md").read_text().split("## ")[0]
    rows = [row.split("|")[1:3] for row in table.splitlines() if row.startswith("| `")]
    rooms = [name.removesuffix(".py").rstrip("/") for first, _ in rows for name in re.findall(r"`([^`]+)`", first)]
    assert [room for room in rooms if room in ROOMS] == list(ROOMS)
    assert set(rooms) - set(ROOMS) == {"tiny", "compat"}
    for first, purpose in rows:
        folder = ROOT / re.findall(r"`([^`]+)`", first)[0]
        if folder.is_dir():
            named = re.findall(r"`([a-z0-9_]+)`", purpose)
            assert [name for name in named if not (folder / f"{name}.py").is_file()] == []


def test_the_readme_finds_the_formulas():
    """Every function in README's table of formulas is defined in the file that the table names."""
    table = (ROOT / "README.md").read_text().split("## Where to find a formula")[1].split("## ")[0]
    rows = [row.split("|")[2] for row in table.splitlines() if row.startswith("| ") and "`" in row]
    assert len(rows) >= 13
    for row in rows:
        path = None
        for name in re.findall(r"`([^`]+)`", row):
            if name.endswith(".py"):
                path = ROOT / name
            else:
                assert path is not None and name in functions_of(path), row


def test_nothing_but_the_dependencies():
    """The command runs where torch, transformers and the other test dependencies can't be imported."""
    barred = ("torch", "transformers", "jinja2", "hypothesis", "beartype", "pytest", "cupy", "scipy", "huggingface_hub")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({barred!r}))\n"
        "from ovis2_ref.tools.cli import main\n"
        "raise SystemExit(main(['describe']))"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stdout.strip()
