"""The README of golden values: its table holds every known mistake, and its example prints what it says."""

import re
import textwrap
from pathlib import Path

import pytest

import ovis2_ref.golden
from ovis2_ref import TINY
from ovis2_ref.golden.causes.catalogue import CATALOGUE
from ovis2_ref.golden.causes.table import hidden, markdown, measure
from ovis2_ref.tools.cli import main

README = (Path(ovis2_ref.golden.__file__).parent / "README.md").read_text("utf-8")
NUMBER = re.compile(r"\d[\d.e-]*")


def table() -> dict[str, str]:
    """Mistake -> its line in the table."""
    lines = README.partition("## Every known mistake")[2].splitlines()
    return {line.split("|")[1].strip(): line for line in lines if line.startswith("| ")}


def test_every_mistake_is_in_the_table(capsys):
    names = {cause.name for cause in CATALOGUE}
    shown = {name for name in table() if name not in ("mistake", "---")}
    assert shown == names - {"rotary: base 10,000"}  # no probe shows it
    assert f"\n- {len(names)} mistakes, " in README


@pytest.mark.slow
def test_the_table_is_what_the_command_prints():
    matrix = measure(TINY)
    assert all(line in README for line in markdown(matrix).splitlines())
    assert set(table()) - {"mistake", "---"} == set(matrix) - set(hidden(matrix))


@pytest.mark.slow
def test_the_example(tmp_path, monkeypatch, capsys):
    """The port, the commands and their last lines, apart from the numbers, which depend on the machine."""
    monkeypatch.chdir(tmp_path)
    source = textwrap.dedent(README[README.index("    import transformers\n") : README.index("\nThen run")])
    assert main(["golden", "record", "-o", "golden.safetensors"]) == 0
    for mended, status in ((False, 1), (True, 0)):
        exec(source.replace("= 1.0  # the mistake", "*= 1") if mended else source, {})
        capsys.readouterr()
        assert main(["golden", "compare", "golden.safetensors", "candidate.safetensors"]) == status
        last = capsys.readouterr().out.splitlines()[-1]
        expected = " ".join(re.search(r"    RIGHT.*\n" if mended else r"    WRONG:(.|\n)*?\n\n", README)[0].split())
        assert NUMBER.sub("N", last) == NUMBER.sub("N", expected)
