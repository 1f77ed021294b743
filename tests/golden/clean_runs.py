"""Right runs on drawn models, and right runs that round otherwise: compare has to raise no alarm.

    python -m tests.golden.clean_runs --runs 400 --cases 5 --seed 1

A clean run is that of this program, of transformers, or of transformers as plain hooks on all modules see it, in float32,
bfloat16 or float16, with a prompt of two tiles and up to two steps. A variant is a float32 run that computes the same in another
order, or in products of a lower type, which has to be named.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from ovis2_ref.golden import Comparison, Golden, compare
from ovis2_ref.golden.stages import is_input
from tests.golden.right_runs import VARIANTS, Case, Variant, hooked, ours, theirs
from tests.strategies import ovis2_configs, seeds


def judged(case: Case, values: dict[str, np.ndarray], dtype: str = "float32") -> Comparison:
    """Compare the values with a golden file that holds the inputs alone: nothing is equal, everything is computed."""
    run = Golden(values, {"dtype": dtype})
    given = Golden({name: values[name] for name in values if is_input(name)}, {"dtype": dtype})
    return compare(given, run, case.reference(dtype))


def alarms(comparison: Comparison, named: str = "") -> list[str]:
    """Return what is wrong with the verdicts: any but equal and rounding, or a lower type that isn't the one that it is."""
    allowed = ("equal", "rounding", "lower type") if named else ("equal", "rounding")
    found = [f"{row.tap}: {row.verdict} {row.note}" for row in comparison.rows if row.verdict not in allowed]
    found += [
        f"{row.tap}: {row.note} in place of {named}"
        for row in comparison.of("lower type")
        if named not in row.note.split(" or ")
    ]
    found += [f"{name}: no tap" for name in comparison.unmatched]
    return found + (["the lower type is not named"] if named and not comparison.of("lower type") else [])


def draw(strategy: st.SearchStrategy, number: int, seed: int) -> Iterator[Any]:
    """Yield so many drawn values."""
    drawn: list[Any] = []

    @seeded(seed)
    @settings(
        max_examples=number,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def take(value: Any) -> None:
        drawn.append(value)

    take()
    yield from drawn


CASES = st.builds(Case, ovis2_configs(), seeds)
RUNS = st.tuples(
    CASES, st.sampled_from(["float32", "bfloat16", "float16"]), st.sampled_from(["ours", "eager", "sdpa", "hooks"])
)


def clean_runs(number: int, seed: int) -> Iterator[tuple[str, Comparison]]:
    """Yield what compare says of so many clean runs: "transformers, eager, float16", the comparison."""
    for case, dtype, program in draw(RUNS, number, seed):
        if program == "hooks":
            values = hooked(case, dtype)
        else:
            values = ours(case, dtype) if program == "ours" else theirs(case, dtype, program)
        yield f"{program}, {dtype}", judged(case, values, dtype)


def variants(number: int, seed: int) -> Iterator[tuple[str, Variant, Comparison]]:
    """Yield what compare says of each variant on so many drawn models."""
    cases = list(draw(CASES, number, seed))
    for name, variant in VARIANTS.items():
        for case in cases:
            yield name, variant, judged(case, variant.run(case))


def report(title: str, comparisons: Sequence[tuple[Comparison, list[str]]]) -> int:
    """Print a line, and the alarms; return how many runs raised one."""
    wrong = [found for _, found in comparisons if found]
    values = sum(len(comparison.rows) for comparison, _ in comparisons)
    lower_types = sum(len(comparison.of("lower type")) for comparison, _ in comparisons)
    words = f"; {lower_types} of them named as a lower type" if lower_types else ""
    print(f"{title}: {len(comparisons)} runs, {values} values, {len(wrong)} false alarms{words}", flush=True)
    for found in wrong:
        print(f"    {'; '.join(found[:4])}")
    return len(wrong)


def main() -> int:
    """Print the table, and return 1 if there was a false alarm."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden.clean_runs", description="Count false alarms.")
    parser.add_argument("--runs", type=int, default=400, help="clean runs (default: 400)")
    parser.add_argument("--cases", type=int, default=5, help="drawn models for each variant (default: 5)")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    kinds: dict[str, list[tuple[Comparison, list[str]]]] = {}
    for kind, comparison in clean_runs(arguments.runs, arguments.seed):
        kinds.setdefault(kind, []).append((comparison, alarms(comparison)))
    total = sum(report(f"clean runs, {kind}", found) for kind, found in sorted(kinds.items()))
    found: dict[str, list[tuple[Comparison, list[str]]]] = {}
    for name, variant, comparison in variants(arguments.cases, arguments.seed):
        found.setdefault(name, []).append((comparison, alarms(comparison, variant.named)))
    total += sum(report(name, of) for name, of in found.items())
    print(f"{arguments.runs} clean runs, {len(VARIANTS)} variants on {arguments.cases} models: {total} false alarms")
    return int(total > 0)


if __name__ == "__main__":
    sys.exit(main())
