"""The table of the Hessian analysis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from clip_mamba import style
from clip_mamba.results import Result
from clip_mamba.tables import cells, seeds
from clip_mamba.tables.select import by_task, detail, models_of, sources

#: Derived figures of ``clip_mamba.hessian.report`` in the table's order, with their headings.
QUANTITIES = {
    "lambda_max": r"$\lambda_{\max}$",
    "lambda_min": r"$\lambda_{\min}$",
    "negative_mass": r"\shortstack{negative\\mass}",
    "negative_share_of_top": r"\shortstack{negative of\\the top %s}",
    "trace": "trace",
    "effective_rank": r"\shortstack{effective\\rank}",
}
#: Those that are shares; their intervals are cut to [0, 1].
SHARES = ("negative_mass", "negative_share_of_top")
#: What a table's note says of how was measured, from a result's settings.
SETTINGS = ("batches", "batch_size", "k", "steps", "probes", "tolerance")

COLUMNS = (
    "model", "quantity", "parameters", "seeds", *SETTINGS, "value", "low", "high",
    "interval_method", "converged", "residual", "standard_error", "check", "reason", "source",
)  # fmt: skip


def hessian(results: Sequence[Result], *, models: Sequence[str] | None = None) -> pd.DataFrame:
    """Return one row per model and quantity.

    Args:
        results: Results; those of kind ``hessian`` count.
        models: Models that have rows even if they were not measured.

    Returns:
        A table with the columns ``COLUMNS``; ``converged`` is the share of eigenpairs whose
        residual is within the tolerance, ``residual`` the largest relative residual of the
        outermost eigenvalue, for the two quantities that are one, ``standard_error`` that of the
        trace from its probes, ``check`` the largest error of a Hessian-vector product.
    """
    groups = by_task(results, "hessian")
    runs: dict[str, list[Result]] = {}
    for (model, _), found in groups.items():
        runs.setdefault(model, []).extend(found)
    names = models_of([run for found in runs.values() for run in found], models)
    rows = [
        _row(model, quantity, runs.get(model, [])) for model in names for quantity in _all(runs)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _all(runs: dict[str, list[Result]]) -> list[str]:
    """Return the quantities of the table, then any further ones that were measured."""
    found = [f for own in runs.values() for r in own for f in detail(r.details, "figures") or {}]
    return list(dict.fromkeys([*QUANTITIES, *found]))


def _row(model: str, quantity: str, runs: list[Result]) -> dict[str, Any]:
    figures = [detail(run.details, "figures", quantity) or {} for run in runs]
    estimate = seeds.combine(
        [figure.get("mean") for figure in figures],
        [figure.get("interval") for figure in figures],
        [run.reason for run in runs],
        bounds=(0, 1) if quantity in SHARES else None,
    )
    flags = [
        flag
        for run in runs
        for end in ("largest_converged", "smallest_converged")
        for flag in np.ravel(detail(run.details, "eigenvalues", end) or [])
    ]
    several = seeds.METHOD.format(n=estimate.seeds) if estimate.seeds > 1 else None
    return {
        "model": model,
        "quantity": quantity,
        "parameters": detail(runs[0].details, "parameters") if runs else None,
        "seeds": estimate.seeds,
        **{name: _setting(runs, name) for name in SETTINGS},
        **estimate.row(),
        "interval_method": several or next((run.interval_method for run in runs), None),
        "converged": float(np.mean(flags)) if flags else None,
        "residual": _residual(quantity, runs),
        "standard_error": _largest(runs, "trace", "standard_error")
        if quantity == "trace"
        else None,
        "check": _check(runs),
        "reason": estimate.reason,
        "source": sources(runs),
    }


def _setting(runs: list[Result], name: str) -> Any:
    return detail(runs[0].details, "settings", name) if runs else None


def _largest(runs: list[Result], *way: str) -> float | None:
    found = [value for run in runs if (value := detail(run.details, *way)) is not None]
    return max(found, default=None)


def _standard_error(quantity: str, runs: list[Result]) -> float | None:
    return _largest(runs, "trace", "standard_error") if quantity == "trace" else None


def _check(runs: list[Result]) -> float | None:
    """Return the largest relative error of a Hessian-vector product in any tensor."""
    found = [_largest(runs, "probes", *way, "worst_difference") for way in ((), ("scan",))]
    return max((value for value in found if value is not None), default=None)


def _residual(quantity: str, runs: list[Result]) -> float | None:
    """Return the largest ||Hv - lambda v|| / |lambda| of the outermost pair over mini-batches."""
    end = {"lambda_max": "largest", "lambda_min": "smallest"}.get(quantity)
    rows = [
        row for run in runs for row in detail(run.details, "eigenvalues", f"{end}_residuals") or []
    ]
    return float(np.max([row[0] for row in rows])) if rows else None


def hessian_context(frame: pd.DataFrame) -> dict[str, Any]:
    """Return what the template shows: models down, quantities across.

    Args:
        frame: From :func:`hessian`.

    Returns:
        Headings, rows of cells and notes.
    """
    missing: dict[str, list[str]] = {}
    rows = []
    for model in style.ordered(frame["model"]):
        own = frame[frame["model"] == model].set_index("quantity")
        shown = []
        for quantity in QUANTITIES:
            row = own.loc[quantity]
            if not cells.known(row["value"]):
                missing.setdefault(cells.text(row["reason"]) or "no result", []).append(
                    style.label(model)
                )
            shown.append(_cell(quantity, row))
        rows.append({
            "model": style.label(model),
            "parameters": cells.count(own["parameters"].iloc[0]),
            "cells": shown,
            "converged": _in_percent(own["converged"].iloc[0], 0),
        })
    first = frame.dropna(subset="batches")
    return {
        "headings": _headings(first["k"].iloc[0] if len(first) else None),
        "rows": rows,
        "notes": cells.notes(missing),
        "measured": bool(len(first)),
        **{name: _plain(first[name].iloc[0] if len(first) else None) for name in SETTINGS},
        "residuals": {q: _worst(frame, "residual", q) for q in ("lambda_max", "lambda_min")},
        "standard_error": _worst(frame, "standard_error", "trace"),
        "check": _worst(frame, "check", "lambda_max"),
        "methods": sorted({m for m in frame["interval_method"] if isinstance(m, str)}),
    }


def _headings(k: float | None) -> list[cells.Tex]:
    shown = {**QUANTITIES, "negative_share_of_top": QUANTITIES["negative_share_of_top"] % _plain(k)}
    return [cells.Tex(heading) for heading in shown.values()]


def _plain(value: float | None) -> cells.Tex:
    """Return a setting as one would write it: 64, 0.02."""
    return cells.Tex(f"{value:g}") if cells.known(value) else cells.MISSING


def _worst(frame: pd.DataFrame, column: str, quantity: str) -> cells.Tex:
    values = frame[frame["quantity"] == quantity][column].dropna().astype(float)
    return cells.significant(values.max(), 2) if len(values) else cells.MISSING


def _cell(quantity: str, row: pd.Series) -> cells.Tex:
    if quantity == "negative_share_of_top":
        return _in_percent(row["value"], 0)
    if quantity == "negative_mass":
        bounds = cells.interval(row["low"], row["high"], factor=100)
        return cells.stacked(_in_percent(row["value"], 1), bounds)
    low, high = cells.significant(row["low"]), cells.significant(row["high"])
    bounds = cells.Tex(f"[{low}, {high}]") if cells.known(row["low"]) else cells.Tex("")
    return cells.stacked(cells.significant(row["value"]), bounds)


def _in_percent(value: float | None, digits: int) -> cells.Tex:
    known = cells.known(value)
    return cells.Tex(cells.percent(value, digits) + r"\,\%") if known else cells.MISSING
