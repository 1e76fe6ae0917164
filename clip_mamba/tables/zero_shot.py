"""The table of zero-shot accuracies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from clip_mamba import style
from clip_mamba.results import Result
from clip_mamba.tables import cells, seeds
from clip_mamba.tables.select import by_task, detail, models_of, sources, tasks_of

COLUMNS = (
    "task", "title", "split", "metric", "model", "image_parameters", "seeds", "examples",
    "classes", "value", "low", "high", "interval_method", "chance", "majority", "times_chance",
    "reason", "source",
)  # fmt: skip

_METRICS = {
    "top1": "top-1",
    "mean_per_class": "mean per class",
    "mean_top1_top5": "mean of top-1 and top-5",
    "roc_auc": "ROC AUC",
}


def zeroshot(
    results: Sequence[Result],
    *,
    models: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return one row per task and model, the pixel baseline included.

    Args:
        results: Results; those of kind ``zeroshot`` count.
        models: Models that have rows even if they were not measured.
        tasks: Tasks that have rows even if they were not measured, in the table's order.

    Returns:
        A table with the columns ``COLUMNS``; values are shares in [0, 1].
    """
    groups = by_task(results, "zeroshot")
    found = [result for group in groups.values() for result in group]
    rows = [
        _row(task, model, groups.get((model, task), []), found)
        for task in tasks_of(found, tasks)
        for model in models_of(found, models)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(task: str, model: str, runs: list[Result], found: list[Result]) -> dict[str, Any]:
    # Chance and title are the task's own, so a model that was not measured shows them too.
    same = [*runs, *(result for result in found if result.task == task)]
    facts = {
        name: next((v for r in same if (v := detail(r.details, name)) is not None), None)
        for name in ("title", "classes", "chance", "majority")
    }
    estimate = seeds.combine(
        [run.value for run in runs],
        [run.interval for run in runs],
        [run.reason for run in runs],
        bounds=(0, 1),
    )
    value, chance = estimate.value, facts["chance"]
    several = seeds.METHOD.format(n=estimate.seeds) if estimate.seeds > 1 else None
    return {
        "task": task,
        **facts,
        "title": facts["title"] or task,
        "split": same[0].split if same else None,
        "metric": same[0].metric if same else None,
        "model": model,
        "image_parameters": next((r.image_parameters for r in found if r.model == model), None),
        "seeds": estimate.seeds,
        "examples": max((r.examples for r in runs), default=0),
        **estimate.row(),
        "interval_method": several or next((r.interval_method for r in runs), None),
        "times_chance": value / chance if value is not None and chance else None,
        "reason": estimate.reason,
        "source": sources(runs),
    }


def zeroshot_context(frame: pd.DataFrame) -> dict[str, Any]:
    """Return what the template shows: tasks down, chance, baseline and models across.

    Args:
        frame: From :func:`zeroshot`.

    Returns:
        Models, rows of cells, and notes.
    """
    names = style.ordered(frame["model"])
    trained = [name for name in names if name != style.BASELINE]
    has_baseline = style.BASELINE in names
    missing: dict[str, list[str]] = {}
    rows = []
    for task, own in frame.groupby("task", sort=False):
        records = {row["model"]: row for row in own.to_dict("records")}
        for name, row in records.items():
            if not cells.known(row["value"]):
                what = f"{style.label(name)} on {row['title']}"
                missing.setdefault(cells.text(row["reason"]) or "no result", []).append(what)
        top = cells.best([records[name]["value"] for name in trained])
        shown = [_cell(records[name], place in top) for place, name in enumerate(trained)]
        first = own.iloc[0]
        rows.append({
            "family": str(task).rpartition("-")[0],
            "title": first["title"],
            "examples": cells.count(own["examples"].max()),
            "classes": cells.count(first["classes"]),
            "metric": _METRICS.get(first["metric"], cells.text(first["metric"])),
            "chance": cells.percent(first["chance"], 2 if (first["chance"] or 1) < 0.01 else 1),
            "baseline": _cell(records[style.BASELINE]) if has_baseline else cells.MISSING,
            "cells": shown,
        })
    return {
        "models": [style.label(name) for name in trained],
        "rows": rows,
        "notes": cells.notes(missing),
        "methods": sorted({m for m in frame["interval_method"] if isinstance(m, str)}),
        "metrics": sorted({row["metric"] for row in rows if row["metric"]}),
        "seeds": int(frame["seeds"].max()) if len(frame) else 0,
    }


def _cell(row: dict[str, Any], bold: bool = False) -> Any:
    below = cells.interval(row["low"], row["high"], factor=100)
    return cells.stacked(cells.percent(row["value"]), below, bold)
