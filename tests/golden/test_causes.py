"""Known mistakes: each is made in a stage of a right run, and has to be named first, with the proof."""

from collections import defaultdict

import pytest

from ovis2_ref import TINY
from ovis2_ref.golden.bands import Bands
from ovis2_ref.golden.causes.catalogue import CATALOGUE
from ovis2_ref.golden.causes.matrix import plant
from ovis2_ref.golden.graph import given_pictures, run_stages
from ovis2_ref.golden.reference import load_reference
from tests.golden.runs import tiny_run

SAME_HERE = {
    "values: CLIP's mean and deviation",  # the tiny model's own
    "rotary: base 10,000",  # the tiny model's own
    "resizing: order of passes of Pillow 12.1",  # this picture shrinks in neither way that matters
    "resizing: order of passes of Pillow 12.2",
    "tiles: column by column",  # the grid has one column
    "answer: repetition penalty ignored",  # there is none
    "answer: repetition penalty 1.05",  # too weak to change two tokens
    "answer: repetition penalty 1.1",
    "answer: penalty leaves out the prompt",
    "answer: goes on after a stop token",  # it ends before one
    "answer: only the first stop token ends it",
    "answer: stop token left out",
    "mask: padding seen",  # there is none
    "attention mask: 1 on padding",
    "positions: padding counted",
    "tiles: a single tile has a thumbnail, too",  # there are two
    "layout: column indicators missing",  # the grid has one column
    "weights: of the layer before",  # only the first layer is looked at
    "weights: a whole layer of the layer before",
}
"""Mistakes that change nothing in this run."""


def planted(tmp_path, dtype: str, layers: tuple[int, ...]) -> dict[str, list[tuple[str, ...]]]:
    """Mistake -> what was found where it was made."""
    run = tiny_run(tmp_path / "run.safetensors", dtype, tokens=2)
    reference = load_reference(run, TINY)
    stages = run_stages(reference.config, reference.convention, pictures=1, steps=2)
    known = {name: run.taps[name] for name in run.names} | given_pictures(run.taps)
    places = {
        name: value
        for name, value in known.items()
        if ".layers." not in name or any(f".layers.{layer}." in name for layer in layers)
    }
    found = defaultdict(list)
    for each in plant(Bands(stages, reference, known, dtype), places):
        found[each.mistake].append(each.found)
    return found


def expect_proved(found: dict[str, list[tuple[str, ...]]]) -> None:
    for mistake, names in found.items():
        assert all(name == ("rounding",) or mistake in name for name in names), (mistake, names)
    first = [mistake for mistake, names in found.items() if any(name[0] == mistake for name in names)]
    visible = [mistake for mistake, names in found.items() if any(name != ("rounding",) for name in names)]
    assert len(first) >= 0.95 * len(visible), set(visible) - set(first)


def test_every_mistake_is_named(tmp_path):
    """In float32, where it shows; and it shows, unless it changes nothing in this run."""
    found = planted(tmp_path, "float32", (0,))
    assert {cause.name for cause in CATALOGUE} <= set(found)
    expect_proved(found)
    assert {mistake for mistake, names in found.items() if {*names} == {("rounding",)}} <= SAME_HERE
    assert len(found) - len(SAME_HERE) >= 60


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_every_mistake_is_named_in_other_types(tmp_path, dtype):
    """What rounding hides in 16 bits is not named, and nothing else is named for it."""
    found = planted(tmp_path, dtype, (0, 3))
    for mistake, names in found.items():
        assert all(name == ("rounding",) or mistake in name for name in names), (mistake, names)
