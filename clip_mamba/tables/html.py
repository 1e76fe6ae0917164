"""A table as a small HTML page, for the interactive report."""

from __future__ import annotations

from html import escape
from pathlib import Path

import pandas as pd

from clip_mamba.files import atomic_write

STYLE = """
body { font: 14px system-ui, sans-serif; margin: 1rem; color: #222; }
input { font: inherit; padding: .3rem .5rem; margin: .5rem 0; width: 20rem; }
table { border-collapse: collapse; }
th { position: sticky; top: 0; background: #fff; text-align: left; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid #ddd; white-space: nowrap; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
"""
# Hides the rows that do not hold every word typed.
FILTER = """
document.querySelector("input").addEventListener("input", event => {
  const words = event.target.value.toLowerCase().split(/\\s+/);
  for (const row of document.querySelectorAll("tbody tr")) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every(word => text.includes(word));
  }
});
"""


#: What a reader looks for first.
FIRST = ("model", "other", "task", "condition", "level", "quantity", "value", "low", "high")


def write_html(frame: pd.DataFrame, title: str, path: str | Path) -> None:
    """Write a tidy table as an HTML page with a filter, self-contained.

    Args:
        frame: The table.
        title: Its heading.
        path: The file to write.
    """
    frame = frame[[*(c for c in FIRST if c in frame), *frame.columns.difference(FIRST, sort=False)]]
    head = "".join(f"<th>{escape(str(name))}</th>" for name in frame.columns)
    rows = "\n".join(
        "<tr>" + "".join(map(_cell, row)) + "</tr>" for row in frame.itertuples(index=False)
    )
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style><h1>{escape(title)}</h1>"
        '<input type="search" placeholder="filter, e.g. contrast VMamba" aria-label="filter">'
        f"<table><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table>"
        f"<script>{FILTER}</script></html>\n"
    )
    with atomic_write(path) as temporary:
        temporary.write_text(page)


def _cell(value: object) -> str:
    if value is None or (isinstance(value, float) and pd.isna(value)):
        return "<td></td>"
    if isinstance(value, float):
        return f'<td class="number" title="{value!r}">{value:.4g}</td>'
    kind = ' class="number"' if isinstance(value, int) else ""
    return f"<td{kind}>{escape(str(value))}</td>"
