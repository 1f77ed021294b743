"""What the benchmark compares is the same work: every program of a job computes the same values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.growth import Curve
from tests.benchmarks.inputs import answer_inputs
from tests.benchmarks.jobs import ANSWER, JOBS
from tests.benchmarks.shapes import OURS, both_models

SHORT = [name for name in JOBS if name not in ("cold start", "prefill 1500", "prefill 4000", "picture 4000x3000")]


@pytest.fixture(scope="module")
def models():
    """The tiny shape with drawn weights."""
    return both_models("tiny")


def test_models_share_their_weights(models):
    """No weight of the reference is a copy: its data begins where ours does."""
    for theirs in models.theirs.values():
        places = {name: tensor.data_ptr() for name, tensor in theirs.state_dict().items()}
        assert all(places[name] == models.ours.weights[name].ctypes.data for name in models.ours.weights)


@pytest.mark.parametrize("name", SHORT)
def test_programs_agree(models, name):
    """Float32 rounding apart. Steps are taken twice: a run leaves the cache as it was."""
    job = JOBS[name](models)
    for _ in range(2 if name.startswith("step") else 1):
        values = {program: np.asarray(run()) for program, run in job.runs.items()}
        for program in values.keys() - {OURS}:
            np.testing.assert_allclose(values[OURS], values[program], rtol=0, atol=1e-4 * np.abs(values[OURS]).max())
    assert len(values) == (2 if name.startswith("picture") else 3)


def test_an_answer_is_whole(models):
    """No token ends it early."""
    prompt, _ = answer_inputs(models.config)
    assert JOBS["answer"](models).runs[OURS]().shape == (1, prompt.shape[1] + ANSWER)


@given(st.floats(-1, 3), st.floats(1e-6, 10))
def test_exponent_of_a_power_law(power, factor):
    sizes = (100, 300, 1000, 8000)
    assert Curve(sizes, [factor * size**power for size in sizes]).exponent == pytest.approx(power, abs=1e-9)
