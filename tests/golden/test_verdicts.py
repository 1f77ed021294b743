"""Verdicts on runs that differ from the model's in one way: another arithmetic, shifted positions, one mistake, two mistakes."""

from dataclasses import replace

import numpy as np
import pytest

from ovis2_ref.golden import Comparison, Golden, compare
from ovis2_ref.golden.arithmetic import IN_ORDER, Arithmetic, rounded_factors
from ovis2_ref.golden.causes.catalogue import CATALOGUE
from ovis2_ref.golden.causes.search import with_mistake
from ovis2_ref.golden.graph import run_stages
from ovis2_ref.golden.replay import Replay
from ovis2_ref.golden.report import as_json, table
from ovis2_ref.golden.stages import Reference, is_input
from tests.golden.runs import tiny_reference, tiny_run


@pytest.fixture(scope="module")
def golden(tmp_path_factory) -> Golden:
    return tiny_run(tmp_path_factory.mktemp("golden") / "golden.safetensors", "float64", tokens=1, max_patches=1)


@pytest.fixture(scope="module")
def reference(golden) -> Reference:
    return tiny_reference(golden)


def run_with(golden, reference, mistakes=(), arithmetic: Arithmetic | None = None, keep=lambda tap: True) -> Golden:
    """Return the run in float32 in another arithmetic, with `mistakes` in every stage that they concern; of its taps those to
    `keep`.
    """
    stages = run_stages(reference.config, reference.convention, pictures=1, steps=1)
    for cause in CATALOGUE:
        if cause.name in mistakes:
            stages |= with_mistake(cause, stages, stages)
    inputs = {name: golden.taps[name] for name in golden.names if is_input(name) and name != "pixel_values"}
    float32 = np.dtype(np.float32)
    replay = Replay(stages, replace(reference, arithmetic=arithmetic or reference.arithmetic), inputs, float32, float32)
    taps = {tap: replay.value(tap) for tap in stages if keep(tap)}
    return Golden(
        {tap: array if array.dtype.kind in "iub" else array.astype(np.float32) for tap, array in taps.items()}
    )


def verdicts(comparison: Comparison) -> set[str]:
    return {row.verdict for row in comparison.rows}


def test_sums_in_order_are_right(golden, reference):
    comparison = compare(golden, run_with(golden, reference, arithmetic=IN_ORDER), reference)
    assert comparison.passes and verdicts(comparison) <= {"equal", "rounding"}


@pytest.mark.parametrize(
    ("lower", "words"),
    [("TF32", "TF32 or float16"), ("TF32, truncated", "TF32, truncated"), ("bfloat16", "bfloat16")],
)
def test_a_lower_type_is_named(golden, reference, lower, words):
    """Products of rounded factors: no alarm, and the type by its name; TF32 and float16 have as many bits."""
    comparison = compare(golden, run_with(golden, reference, arithmetic=rounded_factors(lower)), reference)
    assert comparison.passes and verdicts(comparison) == {"equal", "rounding", "lower type"}
    named = {row.note for row in comparison.of("lower type")}
    assert words in named
    assert named <= {words, lower}
    assert len(comparison.of("lower type")) > 40


def test_shifted_positions_are_equivalent(golden, reference):
    """Rotary positions from 1: the tables and the turned q and k differ, and nothing after them.

    Scores may leave their band: q and k turned by other angles round otherwise, and their products add that up.
    """
    comparison = compare(golden, run_with(golden, reference, ["rotary: positions from 1"]), reference)
    assert comparison.passes
    changed = {row.tap.rpartition(".")[2] for row in comparison.of("equivalent")}
    assert {"cos", "sin", "q_rotated", "k_rotated"} <= changed <= {"cos", "sin", "q_rotated", "k_rotated", "scores"}
    tables = [row for row in comparison.rows if row.tap.endswith((".cos", ".sin"))]
    assert all(row.causes[0].cause.name == "rotary: positions from 1" for row in tables)


def test_one_mistake(golden, reference):
    """It is introduced where it is made, inherited after, named in the line, the JSON and the table."""
    comparison = compare(golden, run_with(golden, reference, ["SwiGLU: gate and up swapped"]), reference)
    assert {row.tap.split(".")[-1] for row in comparison.of("wrong")} == {"activated"}
    assert all(row.causes[0].cause.name == "SwiGLU: gate and up swapped" for row in comparison.of("wrong"))
    assert "lm_head.output" in {row.tap for row in comparison.of("inherited")}
    assert "layers.0.ffn.activated: SwiGLU: gate and up swapped" in table(comparison).splitlines()[-1]
    assert '"name": "SwiGLU: gate and up swapped"' in as_json(comparison)


def test_two_mistakes_between_two_recorded_values(golden, reference):
    """Neither alone reproduces the value; both do."""
    mistakes = ["visual head: LayerNorm without bias", "visual tokens: temperature 2"]

    def keep(tap: str) -> bool:
        return tap in ("pixel_values", "model.vision_tower.merged", "model.vision_tower.tokens")

    comparison = compare(golden, run_with(golden, reference, mistakes, keep=keep), reference)
    (wrong,) = comparison.of("wrong")
    assert wrong.tap == "model.vision_tower.tokens"
    assert [each.cause.name for each in wrong.causes] == mistakes


def test_an_unknown_mistake_is_unknown(golden, reference):
    values = dict(run_with(golden, reference).taps)
    tap = "model.vision_tower.head_linear.output"
    values[tap] = values[tap] + 0.1 * (np.arange(values[tap].shape[-1], dtype=np.float32) % 3 == 0)
    comparison = compare(golden, Golden(values), reference)
    wrong = comparison.of("wrong")[0]
    assert wrong.tap == tap and wrong.causes == ()
    assert "unknown" in table(comparison).splitlines()[-1]
