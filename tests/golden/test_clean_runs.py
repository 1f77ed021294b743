"""No false alarm on right runs, however they round; and what rounds as a lower type is named."""

import pytest

from tests.golden.clean_runs import alarms, clean_runs, variants
from tests.golden.right_runs import VARIANTS


@pytest.mark.parametrize("number", [6, pytest.param(200, marks=pytest.mark.slow)])
def test_clean_runs(number):
    found = {kind: alarms(comparison) for kind, comparison in clean_runs(number, 1)}
    assert {kind: alarm for kind, alarm in found.items() if alarm} == {}


@pytest.mark.parametrize("number", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_variants(number):
    found = [(name, alarms(comparison, variant.named)) for name, variant, comparison in variants(number, 2)]
    assert [alarm for alarm in found if alarm[1]] == []
    assert len(found) == number * len(VARIANTS) and len(VARIANTS) == 20
