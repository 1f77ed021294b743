"""Component cases: the same bytes each time; right functions pass, and a mistake in each is seen."""

import numpy as np

from ovis2_ref.golden.cases import COMPONENTS, write_cases
from ovis2_ref.tools.cli import main

RIGHT = """
import numpy as np
from ovis2_ref.golden import cases
from ovis2_ref.golden.cases import COMPONENTS
globals().update({name: component.function for name, component in COMPONENTS.items()})
"""
WRONG = """
import numpy as np
def rms_norm(x, weight, eps): return weight * x / np.sqrt(np.mean(x * x, -1, keepdims=True) + 10 * eps)
def softmax(x): return np.exp(x) / np.exp(x).sum(-1, keepdims=True)
def swiglu(gate, up): return gate / (1 + np.exp(-gate)) * gate
def rotate(x, cos, sin): return x
def covering_grid(height, width, side, max_tiles): return np.array([1, 1])
"""


def test_right_and_wrong_functions(tmp_path, capsys):
    for folder in ("cases", "again"):
        assert main(["golden", "cases", "-o", str(tmp_path / folder)]) == 0
    for name in ("cases.safetensors", "index.json"):
        assert (tmp_path / "cases" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    (tmp_path / "right.py").write_text(RIGHT)
    assert main(["golden", "check", str(tmp_path / "cases"), str(tmp_path / "right.py")]) == 0
    assert capsys.readouterr().out.count("24 of 24 right") == 2 * len(COMPONENTS)
    (tmp_path / "wrong.py").write_text(WRONG)
    with np.errstate(all="ignore"):
        assert main(["golden", "check", str(tmp_path / "cases"), str(tmp_path / "wrong.py")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10 and not any("24 of 24" in line for line in lines), lines
    assert main(["golden", "check", str(tmp_path / "cases"), str(tmp_path / "missing.py")]) == 2


def test_another_seed_draws_others(tmp_path):
    write_cases(tmp_path / "a", 0)
    write_cases(tmp_path / "b", 1)
    assert (tmp_path / "a" / "index.json").read_bytes() != (tmp_path / "b" / "index.json").read_bytes()
