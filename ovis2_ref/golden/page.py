"""The verdicts of a comparison as one HTML page that needs no network."""

from collections import Counter
from collections.abc import Mapping
from html import escape

from ovis2_ref.golden.compare import Comparison
from ovis2_ref.golden.judge import Row
from ovis2_ref.golden.report import guessed, reason, verdict_line

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 90rem; padding: 0 1rem; color: #222; background: #fff }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; padding: .2rem .7rem; border-bottom: 1px solid #ddd; vertical-align: top }
td:first-child { min-width: 9rem } td:nth-child(3) { min-width: 12rem; overflow-wrap: anywhere }
@media (max-width: 60rem) { body { margin: 1rem auto } td, th { padding: .2rem .35rem } .number { display: none } }
th { position: sticky; top: 0; background: #fff } tr:target td { outline: 2px solid #444 }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap }
tr.wrong td { background: #fbe3e1 } tr.inherited td { background: #fdf1dc }
tr.equivalent td, tr.lower-type td { background: #e6eefb }
.bar { display: flex; height: 1.2rem; margin: 1rem 0 } .bar a { flex: 1; min-width: 1px }
.key span { display: inline-block; width: .8rem; height: .8rem; margin: 0 .3rem 0 1rem }
.equal, .rounding { background: #7fb98b } .wrong { background: #c8402f } .inherited { background: #e7a94a }
.equivalent, .lower-type { background: #6d92cf } .unchecked { background: #bbb }
"""
FILTER = """
const box = document.getElementById("right");
const show = () => {
  for (const row of document.querySelectorAll("tr.equal, tr.rounding")) row.hidden = !box.checked;
};
box.onchange = show;
for (const cell of document.querySelectorAll(".bar .equal, .bar .rounding")) {
  cell.onclick = () => { box.checked = true; show(); };
}
"""
COLUMNS = (
    "error: of the value against its formula, computed in float64 from the recorded inputs. band: the largest error that "
    "rounding explains. from golden: the difference from the golden file's value. All are relative."
)


def page(comparison: Comparison) -> str:
    """Return the page: the verdict, a bar with a cell for each value in execution order, the table."""
    cells = "".join(
        f'<a class="{_class(row)}" href="#{i}" title="{escape(row.tap)}: {row.verdict}"></a>'
        for i, row in enumerate(comparison.rows)
    )
    places = {row.tap: i for i, row in enumerate(comparison.rows)}
    rows = "".join(_row(row, places, comparison.claimed) for row in comparison.rows)
    counts = Counter(_class(row) for row in comparison.rows)
    key = "".join(f"<span class='{name}'></span>{count} {name.replace('-', ' ')}" for name, count in counts.items())
    unmatched = "".join(f"<li>{escape(name + guessed(comparison, name))}</li>" for name in comparison.unmatched)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Golden values</title>'
        f"<style>{STYLE}</style><h1>{'Right' if comparison.passes else 'Wrong'}</h1>"
        f"<p>{escape(verdict_line(comparison))}</p><div class='bar'>{cells}</div>"
        f"<p class='key'>{len(comparison.rows)} values in execution order:{key}</p><p>{COLUMNS}</p>"
        "<p><label><input type='checkbox' id='right'> show the values that are equal or differ by rounding</label></p>"
        "<table><tr><th>value<th>verdict<th>why<th class='number'>error<th class='number'>band<th class='number'>from golden</tr>"
        f"{rows}</table>{f'<h2>Without a tap</h2><ul>{unmatched}</ul>' if unmatched else ''}<script>{FILTER}</script></html>"
    )


def _class(row: Row) -> str:
    return row.verdict.replace(" ", "-")


def _breakable(tap: str) -> str:
    """Return the name of a tap that may be broken after its dots."""
    return escape(tap).replace(".", ".<wbr>")


def _row(row: Row, places: Mapping[str, int], claimed: str) -> str:
    origin = row.note.removeprefix("from ")
    if row.verdict == "wrong":
        why = escape(reason(row, claimed))
    elif origin in places:
        why = f'from <a href="#{places[origin]}">{_breakable(origin)}</a>'
    else:
        why = escape(row.note)
    threads = [each.cause.thread for each in row.causes if each.cause.thread.startswith("https://")]
    why += "".join(f' <a href="{escape(thread, quote=True)}">a thread</a>' for thread in threads)
    if row.match.how:
        why += f" <small>({escape(row.match.name)}: {escape(row.match.how)})</small>"
    numbers = "".join(
        f'<td class="number">{"" if x is None else format(x, ".2g")}' for x in (row.error, row.band, row.difference)
    )
    hidden = " hidden" if row.verdict in ("equal", "rounding") else ""
    start = f'<tr id="{places[row.tap]}" class="{_class(row)}"{hidden}>'
    return f"{start}<td>{_breakable(row.tap)}<td>{row.verdict}<td>{why}{numbers}</tr>"
