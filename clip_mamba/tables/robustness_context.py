"""What the LaTeX table of robustness shows: conditions down, models across."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from clip_mamba import style
from clip_mamba.tables import cells
from clip_mamba.tables.consistency import CUE_CONFLICT, PEOPLE
from clip_mamba.tables.people import BENCHMARK
from clip_mamba.tables.tex import Tex

#: How the interval of the mean over conditions is made, with and without trials.
MEAN_METHOD = "percentile bootstrap, 1000 resamples of objects, drawn for all conditions at once"
BOUND_METHOD = "mean of the conditions' bounds, an upper limit of the width"

#: Below so many distinct objects a category is called thin.
THIN = 10

#: Titles of the benchmark's numbers and how they are printed.
_TITLES: dict[str, tuple[str, Callable[[Any], Tex], bool | None]] = {
    "OOD accuracy": ("mean, cue conflict included", cells.percent, True),
    "accuracy difference": ("accuracy difference", lambda v: cells.fixed(v, 4), False),
    "observed consistency": ("observed consistency", lambda v: cells.fixed(v, 3), True),
    "error consistency": ("error consistency", lambda v: cells.fixed(v, 3), True),
    "accuracy rank": ("rank by OOD accuracy", lambda v: cells.fixed(v, 0), None),
    "mean rank": ("mean rank (likeness to people)", lambda v: cells.fixed(v, 1), None),
}


class _Lines:
    """Builds the rows of cells and remembers which cells, and which whole rows, are missing."""

    def __init__(self, names: list[str], people: bool) -> None:
        self.names, self.people = names, people
        self.missing: dict[str, list[str]] = {}
        self.absent: dict[str, list[str]] = {}

    def line(
        self,
        own: pd.DataFrame,
        title: str,
        people: pd.DataFrame | None = None,
        show: Callable[[Any], Tex] = cells.percent,
        highest: bool | None = True,
    ) -> list[dict[str, Any]]:
        """Return a row: a cell per model and one for people, the best model in bold.

        Args:
            own: The models' rows of the frame.
            title: What the row is called.
            people: People's row, if there is one.
            show: Turns a value into LaTeX.
            highest: Whether more is better; ``None`` if nothing should be bold.

        Returns:
            Title and cells; nothing where no cell has a value.
        """
        records = {row["model"]: row for row in own.to_dict("records")}
        found: list[dict[Any, Any]] = [] if people is None else people.to_dict("records")
        crowd = found[0] if found else {}
        values = [records.get(name, {}).get("value") for name in self.names]
        empty = not any(map(cells.known, [*values, crowd.get("value")]))
        self._note(records, title, empty)
        if empty:
            return []
        top = set() if highest is None else cells.best(values, highest, show)
        shown = [
            _cell(records.get(name, {}), show, place in top)
            for place, name in enumerate(self.names)
        ]
        if self.people:
            shown.append(_cell(crowd, show, False))
        return [{"title": title, "cells": shown}]

    def _note(self, records: dict[str, dict[str, Any]], title: str, empty: bool) -> None:
        why: dict[str, list[str]] = {}
        for name in self.names:
            row = records.get(name, {})
            if not cells.known(row.get("value")):
                why.setdefault(cells.text(row.get("reason")) or "no result", []).append(name)
        for reason, models in why.items():
            everyone = len(models) == len(self.names) > 1
            what = [title] if everyone or empty else [f"{name} on {title}" for name in models]
            (self.absent if empty else self.missing).setdefault(reason, []).extend(what)


def _cell(row: dict[str, Any], show: Callable[[Any], Tex], bold: bool) -> Tex:
    low, high = row.get("low"), row.get("high")
    bounds = f"[{show(low)}, {show(high)}]" if cells.known(low) and cells.known(high) else ""
    return cells.stacked(show(row.get("value")), Tex(bounds), bold=bold)


def ood_context(frame: pd.DataFrame) -> dict[str, Any]:
    """Return what the template shows.

    Args:
        frame: From :func:`clip_mamba.tables.ood`.

    Returns:
        Models, whether there are people, rows of cells per condition, summary rows and notes;
        rows in which no cell has a value are left out, and ``absent`` says why.
    """
    headline = _of(frame, "accuracy", "")
    names = style.ordered(headline["model"])
    crowd = _of(frame, "people-accuracy", "")
    lines = _Lines(names, bool(len(crowd)))
    conditions = list(dict.fromkeys(headline["condition"]))
    rows = []
    for name in conditions:
        own = headline[headline["condition"] == name]
        rows += lines.line(own, name, crowd[crowd["condition"] == name])
    guessed = _of(frame, "guessed-decisions")["value"]
    cues = _of(frame, "shape-decisions", "")["examples"]
    left_out = frame[frame["excluded"] == True]  # noqa: E712 - the column may hold missing values
    return {
        "models": [cells.heading(name) for name in names],
        "people": lines.people,
        "rows": rows,
        "summary": _summary(frame, lines, sum(name != CUE_CONFLICT for name in conditions)),
        "notes": _notes(lines.missing),
        "absent": _notes(lines.absent),
        "cues": cells.count(cues.max() if len(cues) else None),
        "guessed": cells.count(guessed.iloc[0]) if len(guessed) else None,
        "thin": _thin(frame),
        "chance": cells.percent(frame["chance"].dropna().max() if len(frame) else None, 2),
        "examples": cells.count(headline["examples"].max() if len(headline) else None),
        "excluded": len(left_out.drop_duplicates(["condition", "level"])),
        "method": MEAN_METHOD if "error-consistency" in set(frame["quantity"]) else BOUND_METHOD,
    }


def _notes(reasons: Mapping[str, list[str]]) -> list[str]:
    return [f"{', '.join(dict.fromkeys(what))} ({why})" for why, what in reasons.items()]


def _of(frame: pd.DataFrame, quantity: str, level: str | None = None) -> pd.DataFrame:
    own = frame[frame["quantity"] == quantity]
    return own if level is None else own[own["level"] == level]


def _summary(frame: pd.DataFrame, lines: _Lines, shifts: int) -> list[dict[str, Any]]:
    """Return the rows over all conditions."""
    crowd = _of(frame, "people-mean-accuracy")
    rows = lines.line(_of(frame, "mean-accuracy"), f"mean of the {shifts} shifts", crowd)
    numbers = frame[frame["quantity"] == "benchmark"]
    scores = [name for name in BENCHMARK if "rank" not in name]
    for name in scores if len(numbers) else ():
        rows += _benchmark(numbers, lines, name)
    for title, quantity, show in (
        ("shape bias", "shape-bias", cells.percent),
        ("decisions for shape or texture", "shape-decisions", cells.count),
    ):
        people = _of(frame, f"people-{quantity}", "")
        rows += lines.line(_of(frame, quantity, ""), title, people, show, None)
    for name in [name for name in BENCHMARK if name not in scores] if len(numbers) else ():
        rows += _benchmark(numbers, lines, name)
    return rows


def _benchmark(numbers: pd.DataFrame, lines: _Lines, name: str) -> list[dict[str, Any]]:
    """Return the row of one of the benchmark's numbers."""
    title, show, highest = _TITLES[name]
    own = numbers[numbers["level"] == name]
    people = own[own["model"] == PEOPLE]
    return lines.line(own[own["model"] != PEOPLE], title, people, show, highest)


def _thin(frame: pd.DataFrame) -> list[str]:
    """Return which categories have few distinct objects, in all sets and in sketches."""
    own = frame[(frame["quantity"] == "objects") & (frame["value"] < THIN)].sort_values("value")
    found = []
    for condition, title in (("", "in all sets but sketch"), ("sketch", "in sketch")):
        part = own[own["condition"] == condition]
        if len(part):
            listed = ", ".join(f"{row.level} {row.value:.0f}" for row in part.itertuples())
            found.append(f"{title}: {listed}")
    return found
