"""Probes: each known mistake shows on one of them, is named there and never taken for another; a pack of them is small."""

import json

import numpy as np
import pytest

from ovis2_ref import TINY
from ovis2_ref.golden import compare, read_golden
from ovis2_ref.golden.causes.runs import ProbeRun
from ovis2_ref.golden.causes.table import cells, equivalents, hidden, mark, markdown, matrix_text, measure
from ovis2_ref.golden.probes import PROBES, record_probe, write_probes
from ovis2_ref.golden.reference import load_reference
from ovis2_ref.image.loading import load_image

NO_MISTAKES_HERE = {
    "rotary: base 10,000",  # the tiny model's own
}
"""Known mistakes that no probe of the tiny model can show."""

WEAK = "answer: "
"""Mistakes that differ in the weight of a penalty: whether an answer tells them apart depends on the model."""


def expect_named(matrix) -> None:
    """95 % named first, none named wrongly."""
    shown = cells(matrix)
    assert [seen for seen in shown if mark(seen) == "!"] == []
    assert sum(mark(seen) == "1" for seen in shown) >= 0.95 * len(shown)


def test_mistakes_of_the_language_model_are_named():
    """The small form of the matrix: the shortest probe without a picture."""
    matrix = measure(TINY, ["padded"])
    expect_named(matrix)
    assert len(cells(matrix)) >= 50
    assert all(mistake in matrix_text(matrix) for mistake in matrix)
    assert "mask: missing" in markdown(matrix)


@pytest.mark.slow
def test_every_mistake_is_named_on_a_probe_and_told_from_every_other():
    matrix = measure(TINY)
    expect_named(matrix)
    assert set(hidden(matrix)) <= NO_MISTAKES_HERE
    assert [pair for pair in equivalents(matrix) if not all(name.startswith(WEAK) for name in pair)] == []


@pytest.mark.parametrize("probe", ["grey", "text"])
def test_the_run_that_mistakes_are_made_in_is_the_programs(tmp_path, probe):
    """Without a mistake each value is the recorded one, to rounding. After a stop token the run computes one step more."""
    golden = record_probe(tmp_path / "probe.safetensors", TINY, probe)
    reference = load_reference(golden, TINY)
    run = ProbeRun(golden, reference)
    answer = golden.taps["generated"][0]
    more = {tap for tap in run.right if not tap.startswith("image.given")} - set(golden.names)
    assert set(golden.names) <= set(run.right)
    assert bool(more) == (answer[-1] in reference.stop_tokens)
    assert all(tap.endswith(f"#{len(answer) + 1}") for tap in more)
    for tap in golden.names:
        value, expected = run.right[tap], golden.taps[tap]
        value = value[:, -expected.shape[1] :] if tap.startswith("lm_head") else value
        seen = np.isfinite(expected)
        np.testing.assert_allclose(value[seen], expected[seen], rtol=1e-3, atol=1e-4, err_msg=tap)


def test_a_pack_of_probes_is_small_and_whole(tmp_path):
    write_probes(tmp_path, TINY)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 2_000_000
    index = json.loads((tmp_path / "probes.json").read_text())
    assert set(index) == set(PROBES)
    for entry in index.values():
        golden = read_golden(tmp_path / entry["golden"])
        for i, file in enumerate(entry["pictures"], 1):
            tap = "image.picture" if i == 1 else f"image.picture#{i}"
            np.testing.assert_array_equal(np.asarray(load_image(tmp_path / file)), golden.taps[tap].transpose(1, 2, 0))
    again = record_probe(tmp_path / "again.safetensors", TINY, "text")
    golden = read_golden(tmp_path / index["text"]["golden"])
    assert compare(golden, again, load_reference(golden, TINY)).passes
