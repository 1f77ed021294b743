"""Print the table: for each mistake that was made in transformers, what compare names, and which of the usual rules see it."""

import sys
import tempfile
from collections import Counter
from pathlib import Path

from ovis2_ref.golden.causes.table import RULES
from tests.golden.in_transformers.attention import ATTENTION
from tests.golden.in_transformers.image import IMAGE
from tests.golden.in_transformers.modules import MODULES
from tests.golden.in_transformers.weights import WEIGHTS
from tests.golden.in_transformers.workbench import Bench, Seen

MISTAKES = IMAGE | WEIGHTS | MODULES | ATTENTION


def word(mistake: str, seen: Seen) -> str:
    """Return what became of a mistake: first, second, unknown, changes nothing, or what was named in its place."""
    if not seen.verdict:
        return "changes nothing"
    if not seen.named:
        return "unknown" if seen.verdict == "wrong" else seen.verdict
    if mistake not in seen.named:
        return f"wrongly: {seen.named[0]}"
    return "first" if seen.named[0] == mistake else f"second, after {seen.named[0]}"


def main(patterns: list[str]) -> int:
    """Make the mistakes whose names contain one of the patterns, or all; return 1 if one is named wrongly."""
    counts: Counter[str] = Counter()
    noticed = [0] * len(RULES)
    print(f"| mistake | {' | '.join(RULES)} | named | at |\n| --- | {'--: | ' * len(RULES)}--- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for mistake, make in MISTAKES.items():
            if patterns and not any(pattern in mistake for pattern in patterns):
                continue
            seen = bench.seen(make)
            became = word(mistake, seen)
            counts[became.split(",")[0].split(":")[0]] += 1
            if seen.verdict:
                noticed = [total + rule for total, rule in zip(noticed, seen.rules, strict=True)]
            marks = " | ".join("x" if rule else "" for rule in seen.rules)
            print(f"| {mistake} | {marks} | {became} | {seen.tap.removeprefix('model.')} |", flush=True)
    print(f"\n{sum(counts.values())} mistakes: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    print("the usual rules see: " + ", ".join(f"{name} {count}" for name, count in zip(RULES, noticed, strict=True)))
    return int(counts["wrongly"] > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
