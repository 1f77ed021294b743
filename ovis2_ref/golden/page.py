"""The verdicts of a comparison as one HTML page that needs no network."""

from html import escape

from ovis2_ref.golden.compare import Comparison
from ovis2_ref.golden.judge import Row
from ovis2_ref.golden.report import reason, verdict_line

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #222; background: #fff }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; padding: .2rem .7rem; border-bottom: 1px solid #ddd; vertical-align: top }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap }
tr.wrong td { background: #fbe3e1 } tr.inherited td { background: #fdf1dc }
tr.equivalent td, tr.lower-type td { background: #e6eefb }
.bar { display: flex; height: 1.2rem; margin: 1rem 0 } .bar a { flex: 1; min-width: 1px }
.equal, .rounding { background: #7fb98b } .wrong { background: #c8402f } .inherited { background: #e7a94a }
.equivalent, .lower-type { background: #6d92cf } .unchecked { background: #bbb }
"""
FILTER = """
document.getElementById("right").onchange = event => {
  for (const row of document.querySelectorAll("tr.equal, tr.rounding")) row.hidden = !event.target.checked;
};
"""


def page(comparison: Comparison) -> str:
    """Return the page: the verdict, a bar with a cell for each value in execution order, the table."""
    cells = "".join(
        f'<a class="{_class(row)}" href="#{i}" title="{escape(row.tap)}: {row.verdict}"></a>'
        for i, row in enumerate(comparison.rows)
    )
    rows = "".join(_row(i, row, comparison.claimed) for i, row in enumerate(comparison.rows))
    unmatched = "".join(f"<li>{escape(name)}</li>" for name in comparison.unmatched)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Golden values</title>'
        f"<style>{STYLE}</style><h1>{'Right' if comparison.passes else 'Wrong'}</h1>"
        f"<p>{escape(verdict_line(comparison))}</p><div class='bar'>{cells}</div>"
        "<p><label><input type='checkbox' id='right'> show the values that are equal or differ by rounding</label></p>"
        "<table><tr><th>value<th>verdict<th>error<th>band<th>from golden<th>why</tr>"
        f"{rows}</table>{f'<h2>Without a tap</h2><ul>{unmatched}</ul>' if unmatched else ''}<script>{FILTER}</script></html>"
    )


def _class(row: Row) -> str:
    return row.verdict.replace(" ", "-")


def _row(number: int, row: Row, claimed: str) -> str:
    why = escape(reason(row, claimed) if row.verdict == "wrong" else row.note)
    threads = [each.cause.thread for each in row.causes if each.cause.thread.startswith("https://")]
    why += "".join(f' <a href="{escape(thread, quote=True)}">a thread</a>' for thread in threads)
    if row.match.how:
        why += f" <small>({escape(row.match.name)}: {escape(row.match.how)})</small>"
    numbers = "".join(
        f'<td class="number">{"" if x is None else format(x, ".2g")}' for x in (row.error, row.band, row.difference)
    )
    hidden = " hidden" if row.verdict in ("equal", "rounding") else ""
    return (
        f'<tr id="{number}" class="{_class(row)}"{hidden}><td>{escape(row.tap)}<td>{row.verdict}{numbers}<td>{why}</tr>'
    )
