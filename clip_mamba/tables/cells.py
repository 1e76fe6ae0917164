"""Numbers as readers see them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from clip_mamba import style
from clip_mamba.tables.tex import Tex, escape
from clip_mamba.variants import architecture, variant

#: What stands where nothing was measured; the table's note has the reason.
MISSING = Tex("--")

#: Marks of notes.
LETTERS = "abcdefghijklmnopqrstuvwxyz"

Number = float | int | None


def known(value: Number) -> bool:
    """Return whether a number was measured.

    Args:
        value: A number, or ``None``, NaN or infinity.

    Returns:
        ``True`` for a finite number.
    """
    return value is not None and math.isfinite(value)


def fixed(value: Number, digits: int = 1, factor: float = 1) -> Tex:
    """Return a number with a fixed count of decimals.

    Args:
        value: The number.
        digits: Decimals.
        factor: Multiplied with it first (100 for per cent).

    Returns:
        LaTeX, with a true minus sign.
    """
    if not known(value):
        return MISSING
    assert value is not None
    text = f"{value * factor:,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("-")
    return Tex(text.replace("-", "$-$"))


def percent(value: Number, digits: int = 1) -> Tex:
    """Return a share in per cent, without the sign.

    Args:
        value: A share in [0, 1].
        digits: Decimals.

    Returns:
        LaTeX.
    """
    return fixed(value, digits, 100)


def significant(value: Number, digits: int = 3) -> Tex:
    """Return a number of any size with so many significant digits.

    Args:
        value: The number.
        digits: Significant digits.

    Returns:
        LaTeX; powers of ten where plain digits would be long.
    """
    if not known(value):
        return MISSING
    assert value is not None
    if value == 0:
        return Tex("0")
    exponent = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    if -3 <= exponent < 5:
        return fixed(value, max(0, digits - 1 - exponent))
    mantissa = f"{value / 10**exponent:.{digits - 1}f}"
    return Tex(rf"${mantissa}\times 10^{{{exponent}}}$")


def count(value: Number) -> Tex:
    """Return a whole number with thousands separated.

    Args:
        value: The number.

    Returns:
        LaTeX.
    """
    return fixed(value, 0)


def millions(value: Number) -> Tex:
    r"""Return a number of parameters in millions.

    Args:
        value: The number.

    Returns:
        LaTeX such as ``0.231\,M``.
    """
    if not known(value):
        return MISSING
    assert value is not None
    return Tex(fixed(value / 1e6, 3 if value < 1e7 else 1) + r"\,M")


def interval(low: Number, high: Number, digits: int = 1, factor: float = 1) -> Tex:
    """Return an interval in brackets.

    Args:
        low: Lower bound.
        high: Upper bound.
        digits: Decimals.
        factor: Multiplied with both first.

    Returns:
        LaTeX; empty when a bound is missing.
    """
    if not (known(low) and known(high)):
        return Tex("")
    return Tex(f"[{fixed(low, digits, factor)}, {fixed(high, digits, factor)}]")


def stacked(value: Tex, below: Tex, bold: bool = False) -> Tex:
    """Return a value with its interval in small print under it.

    Args:
        value: The value.
        below: The interval; may be empty.
        bold: Whether the value is the best of its row.

    Returns:
        LaTeX for a cell.
    """
    shown = rf"\textbf{{{value}}}" if bold else value
    return Tex(rf"\valueci{{{shown}}}{{{below}}}") if below else Tex(shown)


def share(row: Mapping[Any, Any], bold: bool = False, gaps: Iterable[str] = ()) -> Tex:
    """Return a share in per cent with its interval, or the mark of the note on why there is none.

    Args:
        row: The row, with its value, bounds and reason.
        bold: Whether the value is the best of its row.
        gaps: All reasons of missing values, in the order of the notes; see :func:`gap`.

    Returns:
        LaTeX for a cell.
    """
    if gaps and not known(row["value"]):
        return gap(row, gaps)
    return stacked(percent(row["value"]), interval(row["low"], row["high"], factor=100), bold)


def heading(model: str) -> Tex:
    """Return the head of a model's column.

    Args:
        model: A name as in results.

    Returns:
        LaTeX; the name of a variant stands in small print under that of the model.
    """
    if not variant(model):
        return Tex(escape(style.label(model)))
    return stacked(Tex(escape(architecture(model))), Tex(escape(variant(model))))


def best(
    values: Sequence[Number], highest: bool = True, show: Callable[[Number], str] = percent
) -> set[int]:
    """Return the places of the best of several values.

    Args:
        values: Numbers, some missing.
        highest: Whether more is better.
        show: How they are printed.

    Returns:
        All places that print the best value; none if fewer than two were measured.
    """
    numbers = [v for v in values if v is not None and known(v)]
    if len(numbers) < 2:
        return set()
    top = show((max if highest else min)(numbers))
    return {place for place, v in enumerate(values) if show(v) == top}


def text(value: object) -> str | None:
    """Return a string from a table's cell.

    Args:
        value: The cell; what is missing may be ``None`` or NaN.

    Returns:
        The string, if it is one.
    """
    return value if isinstance(value, str) else None


def reason(row: Mapping[Any, Any]) -> str:
    """Return why a row has no value.

    Args:
        row: A row with the column ``reason``.

    Returns:
        The reason.
    """
    return text(row["reason"]) or "no result"


def gap(row: Mapping[Any, Any], reasons: Iterable[str]) -> Tex:
    """Return what stands for a missing value, with the mark of the note that says why.

    Args:
        row: The row, with the column ``reason``.
        reasons: All reasons, in the order of the notes, which are marked a, b, c.

    Returns:
        LaTeX.
    """
    place = list(reasons).index(reason(row))
    return Tex(rf"{MISSING}\tnote{{{LETTERS[place % len(LETTERS)]}}}")


def notes(reasons: dict[str, list[str]]) -> list[str]:
    """Return sentences that say why something is missing.

    Args:
        reasons: Reason to what it applies to.

    Returns:
        One sentence per reason, for the table's note.
    """
    return [f"{', '.join(dict.fromkeys(what))}: {why}" for why, what in reasons.items()]


def methods(frame: pd.DataFrame) -> list[str]:
    """Return how the intervals of a table were made, saying of which rows if not all are alike.

    Args:
        frame: Rows with the columns ``title`` and ``interval_method``.

    Returns:
        One phrase per method, the commonest first; those after it name their rows.
    """
    own = frame[frame["interval_method"].notna()]
    counts = own["interval_method"].value_counts()
    found = []
    for place, method in enumerate(counts.index):
        titles = list(dict.fromkeys(own[own["interval_method"] == method]["title"]))
        rows = ", ".join(titles) if len(titles) <= 4 else f"{len(titles)} tasks"
        found.append(f"{method} ({rows})" if place else method)
    return found
