"""No false alarm on right runs, however they round; and what rounds as a lower type is named."""

import pytest
from hypothesis import given, settings

from tests.golden.clean_runs import CASES, alarms, clean_runs, judged, variants
from tests.golden.right_runs import VARIANTS, hooked


@pytest.mark.parametrize("number", [6, pytest.param(400, marks=pytest.mark.slow)])
def test_clean_runs(number):
    found = {kind: alarms(comparison) for kind, comparison in clean_runs(number, 1)}
    assert {kind: alarm for kind, alarm in found.items() if alarm} == {}


@settings(max_examples=3)
@given(CASES)
def test_plain_hooks_of_all_modules(case):
    """As they stand: whatever the modules give, every name is understood, and nothing is wrong."""
    assert alarms(judged(case, hooked(case))) == []


@pytest.mark.parametrize("number", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_variants(number):
    found = [(name, alarms(comparison, variant.named)) for name, variant, comparison in variants(number, 2)]
    assert [alarm for alarm in found if alarm[1]] == []
    assert len(found) == number * len(VARIANTS) and len(VARIANTS) == 20
