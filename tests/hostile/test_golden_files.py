"""Golden files and cases that are no such files: our error and status 2, in bounded time; the table is printed whatever fails."""

import json
import os
from pathlib import Path

import pytest

from ovis2_ref.golden import Golden, write_golden
from ovis2_ref.tools.cli import main
from tests.golden import small
from tests.hostile.bounded import bounded


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Return a folder with a golden file, the cases, and a port of them."""
    root = tmp_path_factory.mktemp("golden")
    write_golden(root / "golden", small.recorded())
    assert main(["golden", "cases", "-o", str(root / "cases")]) == 0
    (root / "port.py").write_text("def softmax(x): return x\n")
    return root


def compared(folder: Path, candidate: object, *options: str) -> int:
    """Return the status of the command."""
    checkpoint = str(small.small_folder())
    return main(["golden", "compare", str(folder / "golden"), str(candidate), "--checkpoint", checkpoint, *options])


@pytest.mark.parametrize("kind", ["fifo", "folder", "/dev/zero", "missing"])
@pytest.mark.parametrize("place", ["candidate", "names", "module", "index"])
def test_what_is_no_file(folder, tmp_path, kind, place):
    path = Path(kind) if kind.startswith("/") else tmp_path / ("index.json" if place == "index" else "it")
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    if place == "index" and kind.startswith("/"):
        (tmp_path / "index.json").symlink_to(kind)
    calls = {
        "candidate": lambda: compared(folder, path),
        "names": lambda: compared(folder, folder / "golden", "--names", str(path)),
        "module": lambda: main(["golden", "check", str(folder / "cases"), str(path)]),
        "index": lambda: main(["golden", "check", str(tmp_path), str(folder / "port.py")]),
    }
    outcome = bounded(calls[place], 5)
    assert (outcome.kind, outcome.value) == ("right", 2), outcome


@pytest.mark.parametrize("dtype", ["fp8", "F32", ""])
def test_an_unknown_type(folder, tmp_path, dtype, capsys):
    write_golden(tmp_path / "candidate", Golden(small.run().taps, {"dtype": dtype}))
    assert compared(folder, tmp_path / "candidate") == 2
    assert "write one of float32" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["{}x", '{"softmax": 3}', '{"softmax": {"inputs": ["x"], "numbers": [1]}}', '{"a": {}}']
)
def test_a_damaged_index(folder, tmp_path, text):
    (tmp_path / "cases.safetensors").write_bytes((folder / "cases" / "cases.safetensors").read_bytes())
    (tmp_path / "index.json").write_text(text)
    assert main(["golden", "check", str(tmp_path), str(folder / "port.py")]) == 2


@pytest.mark.parametrize("source", ["import nothing_of_this_name", "raise SystemExit(0)", "def f(:", "1 / 0"])
def test_a_port_that_can_not_be_imported(folder, tmp_path, source, capsys):
    (tmp_path / "port.py").write_text(source)
    assert main(["golden", "check", str(folder / "cases"), str(tmp_path / "port.py")]) == 2
    assert "can't be run" in capsys.readouterr().err


def test_a_page_that_can_not_be_written(folder, tmp_path, capsys):
    assert compared(folder, folder / "golden", "--html", str(tmp_path / "nowhere" / "page.html")) == 2
    out, err = capsys.readouterr()
    assert "RIGHT" in out and "can't be written" in err


def test_marks_of_direction_are_escaped(folder, tmp_path, capsys):
    """In the table, in JSON and on the page."""
    marks = "\u202e\u2066\u061c\u200f"
    taps = {**small.run().taps, f"a{marks}": small.run().taps["lm_head.output"]}
    write_golden(tmp_path / "candidate", Golden(taps, {"dtype": "float32"}))
    for options in ([], ["--json"]):
        assert compared(folder, tmp_path / "candidate", *options, "--html", str(tmp_path / "page.html")) == 0
        out = capsys.readouterr().out
        assert not set(marks) & set(out) and r"\u202e" in out
        if options:
            assert json.loads(out)["unmatched"] == [f"a{marks}"]
    assert not set(marks) & set((tmp_path / "page.html").read_text())
