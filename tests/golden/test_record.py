"""Golden files: what cannot be written or read is refused, and leaves nothing behind."""

import numpy as np
import pytest

from ovis2_ref.errors import CheckpointError, InputError
from ovis2_ref.golden import Golden, GoldenWriter, read_golden, write_golden
from ovis2_ref.tools.cli import main


def test_refusals(tmp_path, capsys):
    with pytest.raises(InputError, match="no folder"):
        GoldenWriter(tmp_path / "nowhere" / "a")
    with pytest.raises(InputError, match="comes twice"), GoldenWriter(tmp_path / "a") as writer:
        writer.add("x", np.zeros(2))
        writer.add("x", np.zeros(2))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="complex128"), GoldenWriter(tmp_path / "a") as writer:
        writer.add("x", np.zeros(2, complex))
    (tmp_path / "cut").write_bytes(b"\x00" * 30)
    with pytest.raises(CheckpointError):
        read_golden(tmp_path / "cut")
    write_golden(tmp_path / "future", Golden({"x": np.zeros(2)}, {"version": 2}))
    with pytest.raises(InputError, match="version 2"):
        read_golden(tmp_path / "future")
    assert main(["golden", "record", "--budget", "10B", "-o", str(tmp_path / "small")]) == 2
    assert "too small" in capsys.readouterr().err
