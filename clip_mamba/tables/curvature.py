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
    "lambda_min_over_max": r"$\lambda_{\min}/\lambda_{\max}$",
    "negative_mass": "negative mass",
    "trace": "trace",
    "effective_rank": "effective rank",
}

COLUMNS = (
    "model", "quantity", "parameters", "seeds", "batches", "batch_size", "value", "low", "high",
    "interval_method", "converged", "residual", "reason", "source",
)  # fmt: skip


def hessian(results: Sequence[Result], *, models: Sequence[str] | None = None) -> pd.DataFrame:
    """Return one row per model and quantity.

    Args:
        results: Results; those of kind ``hessian`` count.
        models: Models that have rows even if they were not measured.

    Returns:
        A table with the columns ``COLUMNS``; ``converged`` is the share of eigenpairs whose
        residual is within the tolerance, ``residual`` the largest relative residual of the
        outermost eigenvalue, for the two quantities that are one.
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
        "batches": detail(runs[0].details, "settings", "batches") if runs else None,
        "batch_size": detail(runs[0].details, "settings", "batch_size") if runs else None,
        **estimate.row(),
        "interval_method": several or next((run.interval_method for run in runs), None),
        "converged": float(np.mean(flags)) if flags else None,
        "residual": _residual(quantity, runs),
        "reason": estimate.reason,
        "source": sources(runs),
    }


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
        converged = own["converged"].iloc[0]
        rows.append({
            "model": style.label(model),
            "parameters": cells.count(own["parameters"].iloc[0]),
            "cells": shown,
            "converged": cells.percent(converged, 0),
        })
    first = frame.dropna(subset="batches")
    worst = frame.groupby("quantity")["residual"].max() if len(first) else {}
    return {
        "headings": [cells.Tex(heading) for heading in QUANTITIES.values()],
        "rows": rows,
        "notes": cells.notes(missing),
        "batches": cells.count(first["batches"].iloc[0] if len(first) else None),
        "batch_size": cells.count(first["batch_size"].iloc[0] if len(first) else None),
        "residuals": {q: cells.significant(worst.get(q), 1) for q in ("lambda_max", "lambda_min")},
        "methods": sorted({m for m in frame["interval_method"] if isinstance(m, str)}),
    }


def _cell(quantity: str, row: pd.Series) -> cells.Tex:
    share = quantity == "negative_mass"
    if share:
        value = cells.percent(row["value"])
        return cells.stacked(
            cells.Tex(value + r"\,\%") if cells.known(row["value"]) else value,
            cells.interval(row["low"], row["high"], factor=100),
        )
    low, high = cells.significant(row["low"]), cells.significant(row["high"])
    bounds = cells.Tex(f"[{low}, {high}]") if cells.known(row["low"]) else cells.Tex("")
    return cells.stacked(cells.significant(row["value"]), bounds)
