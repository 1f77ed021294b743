"""Known mistakes made in transformers itself: the first wrong value is where they are, and they are named."""

import pytest

from ovis2_ref.golden.causes.catalogue import CATALOGUE
from tests.golden.in_transformers.__main__ import MISTAKES, word
from tests.golden.in_transformers.workbench import Bench

A_FEW = ("tiles: column by column", "mask: one token of the future seen")


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"))


@pytest.mark.parametrize("mistake", A_FEW)
def test_a_few(bench, mistake):
    assert word(mistake, bench.seen(MISTAKES[mistake])) == "first"


@pytest.mark.slow
def test_all(bench):
    """At least 95 % are named first, and none is named wrongly."""
    words = {mistake: word(mistake, bench.seen(make)) for mistake, make in MISTAKES.items()}
    shown = [became for became in words.values() if became != "changes nothing"]
    assert [item for item in words.items() if item[1].startswith("wrongly")] == []
    assert shown.count("first") >= 0.95 * len(shown), words


def test_they_are_in_the_catalogue():
    assert set(MISTAKES) <= {cause.name for cause in CATALOGUE}
