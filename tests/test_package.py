"""What the package promises of itself: what it needs, which way its imports go, how long its files are."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ovis2_ref

ROOT = Path(ovis2_ref.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
ROOMS = (
    *(
        "errors",
        "runtime",
        "compat",
        "convention",
        "activations",
        "ops",
        "config",
        "image",
        "text",
        "vision",
        "language",
    ),
    *("merge", "checkpoint", "model_arguments", "generation", "model", "golden", "tools"),
)
"""The rooms from the ground up: each imports only from those before it, and from itself, so no circle can close."""


def imports_of(path: Path) -> set[str]:
    """The rooms that a file imports at any place in it."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ovis2_ref."):
            rooms.add(node.module.split(".")[1])
    return rooms


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
    assert imports_of(path) - {room, "tiny"} <= below


def test_every_room_is_known():
    """A new room gets its floor here."""
    assert {room_of(path) for path in FILES} - set(ROOMS) <= {"__init__", "__main__", "tiny"}


def test_files_are_short():
    """At most 250 lines each."""
    assert [path.name for path in FILES if len(path.read_text().splitlines()) > 250] == []


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
