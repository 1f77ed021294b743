"""Wrong values never pass: not finite, one factor too small, logits of a step, another shape. What passes is said."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ovis2_ref.golden import Golden, compare
from ovis2_ref.golden.arithmetic import rounded_factors
from ovis2_ref.golden.bands import Bands, Fit
from ovis2_ref.golden.differences import describe
from ovis2_ref.golden.graph import run_stages
from ovis2_ref.golden.report import as_json, verdict_line
from ovis2_ref.golden.stages import split_number
from tests.golden import small
from tests.golden.test_verdicts import run_with

PRODUCTS = (
    "patch_embedding.output", "q_proj.output", "k_proj.output", "v_proj.output", "out_proj.output", "o_proj.output", "scores",
    "context", "gate_proj.output", "up_proj.output", "down_proj.output", "head_linear.output", "_table.output", "lm_head.output",
)  # fmt: skip
RIGHT = small.run().taps
FLOATS = [name for name, array in RIGHT.items() if array.dtype.kind == "f"]
SCALED = [name for name in FLOATS if split_number(name)[0].endswith(PRODUCTS)]


@settings(max_examples=25)
@given(st.sampled_from(FLOATS), st.sampled_from([np.nan, np.inf, -np.inf]), st.floats(0, 1, exclude_max=True))
def test_what_is_not_finite_is_wrong(name, number, place):
    """Anywhere, -infinity in place of a number and NaN in place of a masked score included."""
    array = RIGHT[name].copy()
    places = np.flatnonzero(array != -np.inf) if number == -np.inf else np.arange(array.size)
    array.reshape(-1)[places[int(place * len(places))]] = number
    comparison = small.judged({**RIGHT, name: array})
    (row,) = [row for row in comparison.rows if row.tap == name]
    assert row.verdict == "wrong" and not comparison.passes
    assert "not finite" in row.note
    assert ": NaN" not in as_json(comparison)


def expect_no_factor_passes(name, factor):
    comparison = small.judged({**RIGHT, name: RIGHT[name] * np.float32(factor)})
    (row,) = [row for row in comparison.rows if row.tap == name]
    assert row.verdict == "wrong", (name, factor, row.verdict, row.note)
    assert not comparison.passes


@settings(max_examples=12)
@given(st.sampled_from(SCALED), st.sampled_from([1.001, 0.999, 1.0005, 0.9995, 0.998]))
def test_one_factor_is_no_lower_type(name, factor):
    expect_no_factor_passes(name, factor)


@pytest.mark.slow
@pytest.mark.parametrize("name", SCALED)
def test_no_factor_on_any_product_passes(name):
    for factor in (1.001, 0.999, 1.0005, 0.9995, 0.998):
        expect_no_factor_passes(name, factor)


def test_wrong_logits_of_a_step_are_wrong():
    """The top token stays; nothing that follows excuses them."""
    name = "lm_head.output#2"
    comparison = small.judged(
        {**RIGHT, name: RIGHT[name] + np.float32(0.01) * np.cos(np.arange(512, dtype=np.float32))}
    )
    assert [row.tap for row in comparison.of("wrong")] == [name]


@pytest.mark.parametrize("array", [np.float32(1.0), np.ones(1, np.float32), np.ones((2, 7), np.float32)])
def test_a_named_array_of_another_shape_is_wrong(array):
    name = "model.language_model.layers.0.output"
    comparison = small.judged({**RIGHT, name: np.asarray(array)})
    (row,) = [row for row in comparison.rows if row.tap == name]
    assert row.verdict == "wrong" and f"has the shape {np.shape(array)}" in row.note
    assert "(1, " in row.note.partition("golden")[2]


def test_two_arrays_of_a_tap_are_both_judged():
    name = "model.language_model.norm"
    comparison = small.judged({**RIGHT, name: RIGHT[f"{name}.output"] * 2})
    assert [row.match.name for row in comparison.of("wrong")] == [name]


def test_a_lower_type_is_said_and_not_strict():
    golden, reference = small.run("float64", tokens=1), small.reference()
    lower = run_with(golden, reference, arithmetic=rounded_factors("bfloat16"))
    lower = Golden({name: x for name, x in lower.taps.items() if name in golden}, {"dtype": "float32"})
    comparison = compare(golden, lower, reference)
    assert comparison.passes and verdict_line(comparison).startswith("RIGHT, with ")
    assert "values in bfloat16" in verdict_line(comparison)
    strict = compare(golden, lower, reference, strict=True)
    assert not strict.passes and "NOT ACCEPTED" in verdict_line(strict)


def test_a_factor_within_a_lower_type_is_seen():
    """Truncated TF32 makes numbers smaller by nearly one factor: it explains that, and that factor alone it doesn't."""
    tap = "model.vision_tower.transformer.encoder.layers.0.ffn.gate_proj.output"
    golden = small.run()
    known = {name: golden.taps[name] for name in golden.names}
    reference = small.reference()
    bands = Bands(run_stages(reference.config, reference.convention, 1, 2), reference, known, "float32")
    truth = bands.truth.stage(tap)
    fit = Fit(truth.shape, np.dtype(np.float32))
    cut = bands.replay(np.dtype(np.float32), rounded_factors("TF32, truncated")).stage(tap).astype(np.float64)
    factor = (cut * truth).sum() / (truth * truth).sum()
    assert bands.lower_type(tap, cut, truth, fit) == "TF32, truncated"
    assert bands.lower_type(tap, truth * factor, truth, fit) is None


DIFFERENCES = {
    "a constant factor of 0.5": lambda x, r: x * 0.5,
    "a constant offset of": lambda x, r: x + 0.1,
    "only tile 1 (of 3), 0 there": lambda x, r: x * (np.arange(3) != 1)[:, None, None],
    "only patches from 4 on (of 9)": lambda x, r: x + r.standard_normal(x.shape) * (np.arange(9) >= 4)[:, None],
    "only every second hidden number": lambda x, r: x + r.standard_normal(x.shape) * (np.arange(16) % 2),
    "patches in another order: reversed": lambda x, r: x[:, ::-1],
    "patches in another order: shifted by 1": lambda x, r: np.roll(x, 1, 1),
    "hidden numbers in another order": lambda x, r: x[..., np.random.default_rng(3).permutation(16)],
    "cut off at -0.5 and 0.5": lambda x, r: x.clip(-0.5, 0.5),
    "rounded to steps of 0.125": lambda x, r: np.round(x * 8) / 8,
    "a factor of its own for each hidden number": lambda x, r: x * r.uniform(0.5, 2, 16),
    "an offset of its own for each hidden number": lambda x, r: x + r.uniform(1, 2, 16),
    "scattered": lambda x, r: x * (r.random(x.shape) > 0.1) / 0.9,
    "equal to another": lambda x, r: np.random.default_rng(9).standard_normal(x.shape),
}


@pytest.mark.parametrize("words", DIFFERENCES)
@settings(max_examples=5)
@given(st.integers(0, 2**32))
def test_unknown_says_what_differs(words, seed):
    random = np.random.default_rng(seed)
    truth = random.standard_normal((3, 9, 16))
    value = DIFFERENCES[words](truth, random)
    if "steps" not in words:
        value = value * (1 + 1e-7 * random.standard_normal(truth.shape))
    others = {"another": np.random.default_rng(9).standard_normal(truth.shape)}
    tap = "model.vision_tower.transformer.encoder.layers.0.output"
    assert words in describe(tap, value, truth, others.items)


def test_noise_is_given_no_words():
    random = np.random.default_rng(1)
    truth = random.standard_normal((3, 9, 16))
    tap = "model.vision_tower.transformer.encoder.layers.0.output"
    assert describe(tap, truth + 0.01 * random.standard_normal(truth.shape), truth, tuple) == ""
    assert "near the limit of float16" in describe(tap, 1e4 * truth, 2e4 * truth, tuple)
