"""A table as a small HTML page, for the interactive report."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from numbers import Real
from pathlib import Path
from typing import TypeGuard

import pandas as pd

from clip_mamba.files import atomic_write

#: What readers call the tables.
TITLES = {
    "claims": "Claims and verdicts",
    "models": "Models and pretraining",
    "zeroshot": "Zero-shot classification",
    "retrieval": "Image-text retrieval",
    "linear_probe": "Linear probing",
    "ood": "Out-of-distribution accuracy",
    "hessian": "Curvature of the loss",
    "hessian_blocks": "Curvature of parts",
}
#: What a reader looks for first.
FIRST = (
    *("claim", "model", "task", "condition", "level", "direction", "quantity", "other"),
    *("metric", "value", "low", "high", "gain", "gain_low", "gain_high", "p", "p_holm", "verdict"),
)
MISSING = "–"
HINT = (
    "Click a heading to sort; hold the pointer over a number or a cut text to see all of it. "
    f"{MISSING} was not measured or does not apply."
)
#: Letters of a text that is shown whole.
LONG = 40
STYLE = """
body { font: 14px system-ui, sans-serif; margin: 0 1rem 1rem; color: #222; }
h1 { font-size: 1.5rem; margin: 1rem 0 .3rem; }
p { margin: .3rem 0; color: #555; }
input { font: inherit; padding: .3rem .5rem; margin: .3rem .5rem .5rem 0; width: 20rem; }
table { border-collapse: separate; border-spacing: 0; }
th { position: sticky; top: 0; background: #fff; text-align: left; vertical-align: bottom;
     z-index: 1; }
th button { font: inherit; font-weight: bold; text-align: inherit; border: 0; padding: 0;
            background: none; color: inherit; cursor: pointer; }
th[aria-sort=ascending] button::after { content: "\\a0\\25b2"; }
th[aria-sort=descending] button::after { content: "\\a0\\25bc"; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid #ddd; }
td { white-space: nowrap; max-width: 22rem; overflow: hidden; text-overflow: ellipsis; }
tr > :first-child { position: sticky; left: 0; background: #fff; }
th:first-child { z-index: 2; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
"""
# Hides the rows that do not hold every word typed; sorts by numbers where there are some, with
# cells that hold none at the end.
SCRIPT = """
const body = document.querySelector("tbody"), rows = [...body.rows];
const count = document.querySelector("output");
function filter(text) {
  const words = text.toLowerCase().split(/\\s+/);
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every(word => text.includes(word));
  }
  count.value = `${rows.filter(row => !row.hidden).length} of ${rows.length} rows`;
}
function compare(a, b, sign) {
  if (a.dataset.empty || b.dataset.empty) return !!a.dataset.empty - !!b.dataset.empty;
  const order = a.className && b.className ? a.title - b.title
    : a.textContent.localeCompare(b.textContent, "en", { numeric: true });
  return sign * order;
}
function sort(head) {
  const sign = head.ariaSort === "ascending" ? -1 : 1, i = head.cellIndex;
  for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
  head.ariaSort = sign > 0 ? "ascending" : "descending";
  body.append(...[...body.rows].sort((a, b) => compare(a.cells[i], b.cells[i], sign)));
}
document.querySelector("input").addEventListener("input", event => filter(event.target.value));
for (const head of document.querySelectorAll("th")) {
  head.firstChild.addEventListener("click", () => sort(head));
}
filter("");
"""


def write_html(frame: pd.DataFrame, title: str, path: str | Path) -> None:
    """Write a tidy table as a self-contained HTML page that filters and sorts.

    What is the same in every row is said once, above the table.

    Args:
        frame: The table.
        title: Its heading.
        path: The file to write.
    """
    frame = frame[[*(c for c in FIRST if c in frame), *frame.columns.difference(FIRST, sort=False)]]
    cells = {name: _column(frame[name]) for name in frame}
    same = [name for name in cells if len(frame) > 1 and len(set(cells[name])) == 1]
    notes = [HINT, *_notes(frame.iloc[:1], same)]
    shown = {name: column for name, column in cells.items() if name not in same}
    head = "".join(_head(name, column) for name, column in shown.items())
    rows = "\n".join(f"<tr>{''.join(row)}</tr>" for row in zip(*shown.values(), strict=True))
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style><h1>{escape(title)}</h1>"
        + "".join(f"<p>{escape(note)}</p>" for note in notes)
        + '<input type="search" placeholder="filter, e.g. contrast VMamba" aria-label="filter">'
        f"<output></output><table><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table>"
        f"<script>{SCRIPT}</script></html>\n"
    )
    with atomic_write(path) as temporary:
        temporary.write_text(page)


def _notes(row: pd.DataFrame, names: list[str]) -> list[str]:
    """Return what the columns of these names hold in every row, given one of the rows."""
    values = {name: row[name].iloc[0] for name in names}
    told = {name.replace("_", " "): value for name, value in values.items()}
    same = [
        f"{name} = {_text(value, _are_whole([value]))}"
        for name, value in told.items()
        if not _is_empty(value)
    ]
    empty = [name for name, value in told.items() if _is_empty(value)]
    notes = [f"The same in every row: {'; '.join(same)}."] if same else []
    return [*notes, f"Without any value: {', '.join(empty)}."] if empty else notes


def _head(name: str, cells: list[str]) -> str:
    number = ' class="number"' if any('class="number"' in cell for cell in cells) else ""
    return f"<th{number}><button>{escape(name.replace('_', ' '))}</button></th>"


def _column(values: pd.Series) -> list[str]:
    """Return the cells of a column."""
    missing = MISSING if any(map(_is_number, values)) else ""
    whole = _are_whole(values)
    return [_cell(value, whole, missing) for value in values]


def _are_whole(values: Iterable[object]) -> bool:
    return all(float(value).is_integer() for value in values if _is_number(value))


def _cell(value: object, whole: bool, missing: str) -> str:
    if _is_empty(value):
        number = ' class="number"' if missing else ""
        return f'<td{number} data-empty="1">{missing}</td>'
    if _is_number(value):
        return f'<td class="number" title="{value}">{_text(value, whole)}</td>'
    text = str(value)
    whole_text = f' title="{escape(text)}"' if len(text) > LONG else ""
    return f"<td{whole_text}>{escape(text)}</td>"


def _text(value: object, whole: bool) -> str:
    """Return a value as a reader wants it, a number with about four digits."""
    if not _is_number(value):
        return str(value)
    number = float(value)
    if 0 < abs(number) < 5e-5:
        return f"{number:.1e}"
    places = 4 if abs(number) < 10 else max(0, 4 - len(str(int(abs(number)))))
    return f"{number:,.{0 if whole else places}f}"


def _is_empty(value: object) -> bool:
    return value is None or value == "" or value != value


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, Real) and not isinstance(value, bool) and not _is_empty(value)
