"""The verdicts of a comparison as a table and as JSON."""

import json
from collections import Counter
from collections.abc import Iterable
from math import isfinite
from typing import Any

from ml_dtypes import finfo

from ovis2_ref.golden.compare import Comparison
from ovis2_ref.golden.judge import ACCEPTED, Row
from ovis2_ref.runtime.arrays import DTYPES

HEADINGS = ("tap", "verdict", "error", "band", "from golden", "")
ULP = "units in the last place"


def verdict_line(comparison: Comparison) -> str:
    """Return one line: the candidate is right, or the first wrong value, why it is wrong, and how many values inherit it."""
    words = list(comparison.remarks)
    if not comparison.rows:
        if not words:
            words = ["NOTHING COMPARED: no array of the candidate has the name of a tap (give --names)"]
        return "; ".join(words)
    wrong, inherited, accepted = (comparison.of(*kinds) for kinds in (("wrong",), ("inherited",), ACCEPTED))
    if not wrong:
        refused = " NOT ACCEPTED (--strict)" if accepted and comparison.strict else ""
        kinds = Counter(f"in {row.note}" if row.verdict == "lower type" else "that change nothing" for row in accepted)
        what = " and ".join(f"{count} values {kind}" for kind, count in kinds.items())
        counts = {verdict: len(comparison.of(verdict)) for verdict in ("equal", "rounding", *ACCEPTED, "unchecked")}
        total = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        right = f"WRONG, with {what}{refused}" if refused else f"RIGHT, with {what}" if what else "RIGHT"
        return "; ".join([*words, f"{right}: {len(comparison.rows)} values, {total}"])
    first, *others = wrong
    named = dict.fromkeys(each.cause.name for each in first.causes)
    further = [
        name for row in others for name in dict.fromkeys(each.cause.name for each in row.causes) if name not in named
    ]
    words += [f"WRONG: {first.tap}: {reason(first, comparison.claimed)}"]
    words += [f"further causes: {', '.join(dict.fromkeys(further))}"] if further else []
    unknown = sum(not row.causes for row in others)
    words += [f"{unknown} more wrong for unknown reasons"] if unknown else []
    words += [f"{len(inherited)} values inherit an error"] if inherited else []
    return "; ".join(words)


def reason(row: Row, claimed: str) -> str:
    """Return why a value is wrong: the mistakes that reproduce it, with the proof; else that none is known."""
    if row.causes:
        names = " and ".join(cause.cause.name for cause in row.causes)
        units = row.causes[0].error / float(finfo(DTYPES[claimed]).eps)
        change = "this one change" if len(row.causes) == 1 else "these two changes"
        looks = "; ".join(cause.cause.look for cause in row.causes)
        others = row.causes[0].names[1:]
        names += f" or {', or '.join(others)}, which this run can't tell apart" if others else ""
        return f"{names} (with {change} the reference reproduces it to {units:.2g} {ULP}). Look at: {looks}"
    return f"unknown ({row.note})" if row.note else "unknown: no known mistake reproduces it, and no simple difference"


def table(comparison: Comparison, *, everything: bool = False) -> str:
    """Return the values in execution order as columns; those that are equal or rounded only with `everything`."""
    shown = [row for row in comparison.rows if everything or row.verdict not in ("equal", "rounding")]
    lines = [HEADINGS, *(_cells(row, comparison.claimed) for row in shown)] if shown else []
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADINGS))] if lines else []
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    left_out = len(comparison.rows) - len(shown)
    if left_out:
        text.append(f"({left_out} values that are equal or differ by rounding: --all shows them)")
    text += [f"no tap found for {name}{guessed(comparison, name)}" for name in comparison.unmatched]
    return "\n".join([*text, verdict_line(comparison)])


def guessed(comparison: Comparison, name: str) -> str:
    """Return what an array without a tap is most like; it takes a map of names to have it judged."""
    for guess in comparison.guesses:
        if guess.name == name:
            return f" (a guess: {100 * guess.likeness:.0f} % like {guess.tap}; give --names to have it judged)"
    return ""


def _cells(row: Row, claimed: str) -> tuple[str, ...]:
    words = [row.note] if row.verdict != "wrong" else [reason(row, claimed)]
    if row.match.how:
        words.append(f"({row.match.name}: {row.match.how})")
    return (
        row.tap,
        row.verdict,
        *(_number(x) for x in (row.error, row.band, row.difference)),
        " ".join(filter(None, words)),
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}"


def as_json(comparison: Comparison) -> str:
    """Return all contents of the table, for programs."""
    return json.dumps(
        {
            "verdict": verdict_line(comparison),
            "passes": comparison.passes,
            "claimed": comparison.claimed,
            "strict": comparison.strict,
            "remarks": comparison.remarks,
            "unmatched": comparison.unmatched,
            "guesses": [guess._asdict() for guess in comparison.guesses],
            "values": [_entry(row) for row in comparison.rows],
        },
        indent=1,
        allow_nan=False,
    )


def _entry(row: Row) -> dict[str, Any]:
    causes: Iterable[dict[str, Any]] = (
        {
            "name": each.cause.name,
            "others": each.names[1:],
            "taps": each.taps,
            "error": _finite(each.error),
            "look": each.cause.look,
            "thread": each.cause.thread,
        }
        for each in row.causes
    )
    return {
        "tap": row.tap,
        "name": row.match.name,
        "match": row.match.how,
        "verdict": row.verdict,
        "error": _finite(row.error),
        "band": _finite(row.band),
        "difference": _finite(row.difference),
        "note": row.note,
        "causes": list(causes),
    }


def _finite(value: float | None) -> float | None:
    """Return a number, or None where it is none that JSON has."""
    return value if value is not None and isfinite(value) else None
