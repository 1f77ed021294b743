"""The sheet of all shapes: the recorded shapes are those that its letters say, and the file is the command's."""

from pathlib import Path

import pytest

from ovis2_ref import TINY, Ovis2Config
from ovis2_ref.errors import OvisError
from ovis2_ref.tools import shapes

SHEET = Path(__file__).parent.parent.parent / "walkthroughs" / "shapes.md"


@pytest.fixture(scope="module")
def tiny() -> tuple[dict[str, tuple[int, ...]], dict[str, int]]:
    """What a run of the tiny model records, and the numbers behind the letters."""
    config = Ovis2Config.from_pretrained(TINY)
    recorded = shapes.recorded_shapes(config)
    return recorded, shapes.sizes_of(config, recorded)


def test_tiny_column(tiny) -> None:
    """Every row of the file has the shape that a run of the tiny model records."""
    rows = [row.split("|") for row in SHEET.read_text().splitlines() if row.startswith("| `")]
    column = {row[1].strip(" `"): row[4].strip() for row in rows}
    for ending in shapes.SHAPES:
        assert column[ending] == " x ".join(map(str, shapes.checked_shape(ending, *tiny)))


@pytest.mark.parametrize("letters", ["n A H", "n A", "A n M"])
def test_wrong_letters(tiny, monkeypatch: pytest.MonkeyPatch, letters: str) -> None:
    """Letters that don't fit a recorded shape are an error that names the value."""
    monkeypatch.setitem(shapes.SHAPES, "vision_tower.merged", (letters, "a wrong shape"))
    with pytest.raises(OvisError, match=r"vision_tower\.merged"):
        shapes.checked_shape("vision_tower.merged", *tiny)


@pytest.mark.slow
def test_whole_file() -> None:
    """The file is what the command prints."""
    assert SHEET.read_text() == shapes.sheet() + "\n"
