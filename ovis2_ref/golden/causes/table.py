"""The matrix of known mistakes by probes: which probe shows a mistake, and which mistakes no probe tells apart."""

import tempfile
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path

from ovis2_ref.golden.causes.runs import ProbeRun, Rules, Seen
from ovis2_ref.golden.probes import PROBES, record_probe
from ovis2_ref.golden.reference import load_reference

Matrix = dict[str, dict[str, Seen]]
"""Mistake -> probe -> what became of it there; probes that have no stage for the mistake are left out."""

MARKS = (
    "1 named first, = named after another one that gives the same values, ? unknown, ! another one named, "
    ". changes nothing, blank: no such stage"
)
RULES = ("logits' NMSE", "layers' cosine", "top token", "answer")


def measure(checkpoint: str | Path, probes: Sequence[str] = tuple(PROBES)) -> Matrix:
    """Make every known mistake in a run of each probe, with the model in the folder `checkpoint`, and look for it."""
    matrix: Matrix = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in probes:
            golden = record_probe(Path(folder) / f"{name}.safetensors", checkpoint, name)
            for seen in ProbeRun(golden, load_reference(golden, checkpoint)).all_seen():
                matrix.setdefault(seen.mistake, {})[name] = seen
    return matrix


def mark(seen: Seen | None) -> str:
    """Return the sign of a cell; see `MARKS`."""
    if seen is None:
        return " "
    if not seen.visible:
        return "."
    if not seen.named:
        return "?"
    return "1" if seen.named[0] == seen.mistake else "=" if seen.mistake in seen.named else "!"


def cells(matrix: Matrix) -> list[Seen]:
    """Return what became of each mistake where it changes something."""
    return [seen for row in matrix.values() for seen in row.values() if seen.visible]


def hidden(matrix: Matrix) -> list[str]:
    """Return the mistakes that change nothing in any probe."""
    return [mistake for mistake, row in matrix.items() if not any(seen.visible for seen in row.values())]


def equivalents(matrix: Matrix) -> list[tuple[str, str]]:
    """Return the pairs of mistakes that no probe tells apart: wherever one shows, the other explains it, too."""

    def explains(one: str, other: str) -> bool:
        shown = [seen for seen in matrix[other].values() if seen.visible]
        return bool(shown) and all(one in seen.named for seen in shown)

    return [(a, b) for a, b in combinations(matrix, 2) if explains(a, b) and explains(b, a)]


def matrix_text(matrix: Matrix) -> str:
    """Return the matrix as text, then the pairs that no probe tells apart, the mistakes that no probe shows, and the sums."""
    probes = list(dict.fromkeys(probe for row in matrix.values() for probe in row))
    width = max(map(len, matrix))
    lines = [f"{'':{width}}  {'  '.join(probes)}"]
    for mistake, row in matrix.items():
        marks = (f"{mark(row.get(probe)):{len(probe)}}" for probe in probes)
        lines.append(f"{mistake:{width}}  {'  '.join(marks)}".rstrip())
    lines += ["", MARKS]
    lines += [f"no probe tells apart: {a}; {b}" for a, b in equivalents(matrix)]
    lines += [f"no probe shows: {mistake}" for mistake in hidden(matrix)]
    return "\n".join([*lines, *summary(matrix)])


def summary(matrix: Matrix) -> list[str]:
    """Return how many of the planted mistakes were named, and how many the usual rules see."""
    shown = cells(matrix)
    counts = {sign: sum(mark(seen) == sign for seen in shown) for sign in "1=?!"}
    rules = zip(RULES, map(sum, zip(*(seen.rules for seen in shown), strict=True)), strict=True)
    return [
        f"{len(matrix)} mistakes, {len(shown)} times planted where they change something: {counts['1']} named first, "
        f"{counts['=']} named second, {counts['?']} unknown, {counts['!']} named wrongly",
        f"named first in a dump of 20 values: {sum(seen.few for seen in shown)}",
        "the usual rules see: " + ", ".join(f"{name} {count}" for name, count in rules),
    ]


def markdown(matrix: Matrix) -> str:
    """Return a table in Markdown: for each mistake, in how many probes each of the usual rules sees it, and it is named."""
    heads = ["mistake", *RULES, "named", "named in a dump of 20 values", "probes"]
    rows = []
    for mistake, row in matrix.items():
        shown = [seen for seen in row.values() if seen.visible]
        if shown:
            named = sum(mark(seen) == "1" for seen in shown)
            few = sum(seen.few for seen in shown)
            rows.append([mistake, *_counts(seen.rules for seen in shown), str(named), str(few), str(len(shown))])
    lines = [heads, ["---", *["--:"] * (len(heads) - 1)], *rows]
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", *summary(matrix)])


def _counts(rules: Iterable[Rules]) -> list[str]:
    return [str(sum(column)) for column in zip(*rules, strict=True)]
