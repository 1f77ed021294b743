"""Comparing: a program that is right passes in every type, and each stage's formula is the model's."""

import pytest
from ml_dtypes import finfo

from ovis2_ref.golden import Golden, compare
from ovis2_ref.golden.bands import row_error
from ovis2_ref.golden.graph import run_stages
from ovis2_ref.golden.replay import Replay
from ovis2_ref.golden.stages import without_masked
from ovis2_ref.runtime.arrays import DTYPES
from tests.golden.runs import tiny_reference, tiny_run


@pytest.fixture(scope="module")
def golden(tmp_path_factory) -> Golden:
    return tiny_run(tmp_path_factory.mktemp("golden") / "golden.safetensors", "float64")


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_every_formula_is_the_models(tmp_path, dtype):
    """Computed from the recorded inputs in the same type, each stage gives the recorded value, to the order of sums."""
    run = tiny_run(tmp_path / "run.safetensors", dtype)
    reference = tiny_reference(run)
    stages = run_stages(reference.config, reference.convention, pictures=1, steps=2)
    known = {name: run.taps[name] for name in run.names}
    replay = Replay(stages, reference, known, DTYPES[dtype], DTYPES[dtype])
    assert set(known) <= set(stages)
    eps = float(finfo(DTYPES[dtype]).eps)
    for name, value in known.items():
        if name not in ("image.picture", "pixel_values"):
            again = replay.stage(name)
            again = again[:, -value.shape[1] :] if name.startswith("lm_head") else again
            if name.partition("#")[0].endswith(".scores"):
                value = without_masked(value)
            assert again.shape == value.shape, name
            assert row_error(again, value) <= 64 * eps, name


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_right_program_passes(tmp_path, golden, dtype):
    comparison = compare(golden, tiny_run(tmp_path / "run.safetensors", dtype), tiny_reference(golden))
    assert {row.verdict for row in comparison.rows} == {"equal", "rounding"}
    assert comparison.passes and not comparison.unmatched
