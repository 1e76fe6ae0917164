"""Tables that read well in a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """Lay a table out with aligned columns.

    Args:
        header: Names of the columns.
        rows: Cells of each row.
        words: So many first columns hold words and stand to the left, the others to the right.

    Returns:
        Lines of a Markdown table.
    """
    cells = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        padded = [
            cell.ljust(width) if place < words else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("| " + " | ".join(padded) + " |")
    rule = ["-" * (w + 2) if i < words else "-" * (w + 1) + ":" for i, w in enumerate(widths)]
    return "\n".join([lines[0], "|" + "|".join(rule) + "|", *lines[1:]])
