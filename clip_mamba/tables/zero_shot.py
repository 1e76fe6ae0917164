"""The tables of zero-shot accuracies and of linear probes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from clip_mamba import style
from clip_mamba.results import Result
from clip_mamba.tables import cells, seeds
from clip_mamba.tables.averages import averages, pictures
from clip_mamba.tables.published import PUBLISHED, published, titles
from clip_mamba.tables.select import by_task, detail, models_of, sources, tasks_of

COLUMNS = (
    "task", "title", "split", "report_split", "metric", "model", "image_parameters", "seeds",
    "examples", "classes", "value", "low", "high", "interval_method", "by_seed", "below", "above",
    "chance", "majority", "times_chance", "published", "difference", "published_parameters",
    "note", "reason", "source",
)  # fmt: skip

#: Metrics as tables print them.
METRICS = {
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
    report: str | Path = PUBLISHED,
) -> pd.DataFrame:
    """Return one row per task and model, the pixel baseline included.

    Args:
        results: Results; those of kind ``zeroshot`` count.
        models: Models that have rows even if they were not measured.
        tasks: Tasks that have rows even if they were not measured, in the table's order.
        report: The original report's own numbers.

    Returns:
        A table with the columns ``COLUMNS``; values are shares in [0, 1], and ``difference`` is
        ours minus the report's.
    """
    frame = scores(results, "zeroshot", models, tasks)
    frame = frame.drop(columns=["published", "published_parameters"])
    frame = frame.merge(published(report), on=["model", "task"], how="left")
    frame["difference"] = frame["value"].astype(float) - frame["published"].astype(float)
    return frame[list(COLUMNS)]


def scores(
    results: Sequence[Result],
    kind: Literal["zeroshot", "linear-probe"],
    models: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return one row per task and model of classification results.

    Args:
        results: Results; those of the kind count.
        kind: Which.
        models: Models that have rows even if they were not measured.
        tasks: Tasks that have rows even if they were not measured, in the table's order.

    Returns:
        A table with the columns ``COLUMNS``, without the report's numbers.
    """
    groups = by_task(results, kind)
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
        for name in ("title", "classes", "chance", "majority", "report_split", "note")
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
        "title": facts["title"] or titles().get(task, task),
        "split": same[0].split if same else None,
        "metric": same[0].metric if same else None,
        "model": model,
        "image_parameters": next((r.image_parameters for r in found if r.model == model), None),
        "seeds": estimate.seeds,
        "examples": max((r.examples for r in runs), default=0),
        **estimate.row(),
        **_within(runs),
        "interval_method": several or next((r.interval_method for r in runs), None),
        "times_chance": value / chance if value is not None and chance else None,
        "reason": estimate.reason,
        "source": sources(runs),
    }


def _within(runs: list[Result]) -> dict[str, Any]:
    """Return each seed's value, and the mean half-widths of the seeds' own intervals."""
    known = [run for run in runs if run.value is not None]
    halves = [
        (run.value - run.interval[0], run.interval[1] - run.value)
        for run in known
        if run.value is not None and run.interval is not None
    ]
    below, above = np.mean(halves, axis=0) if halves else (None, None)
    return {
        "by_seed": " ".join(repr(run.value) for run in known),
        "below": below,
        "above": above,
    }


def zeroshot_context(frame: pd.DataFrame) -> dict[str, Any]:
    """Return what the template shows: tasks down, chance, baseline and models across.

    Args:
        frame: From :func:`zeroshot`.

    Returns:
        Models, rows of cells, means, and notes.
    """
    names = style.ordered(frame["model"])
    trained = [name for name in names if name != style.BASELINE]
    compared = bool(frame["published"].notna().any())
    rows = [_shown(task, own, trained, compared) for task, own in _tasks(frame)]
    mean = averages(frame)
    top = cells.best(list(mean["value"]))
    records = mean.to_dict("records")
    return {
        "models": [cells.heading(name) for name in trained],
        "has_baseline": style.BASELINE in names,
        "compared": compared,
        "rows": rows,
        "average": [_cell(row, place in top, compared) for place, row in enumerate(records)],
        "averaged": int(mean["tasks"].max()) if len(mean) else 0,
        "tasks": len(rows),
        "notes": cells.notes(_missing(frame)),
        "splits": _other_splits(frame),
        "methods": sorted({m for m in frame["interval_method"] if isinstance(m, str)}),
        "metrics": sorted({row["metric"] for row in rows if row["metric"]}),
        "seeds": int(frame["seeds"].max()) if len(frame) else 0,
    }


def _tasks(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    return [(str(task), own) for task, own in frame.groupby("task", sort=False)]


def _shown(task: str, own: pd.DataFrame, trained: list[str], compared: bool) -> dict[str, Any]:
    """Return a task's row of cells."""
    records = {row["model"]: row for row in own.to_dict("records")}
    top = cells.best([records[name]["value"] for name in trained])
    first = own.iloc[0]
    few = first["chance"] is not None and first["chance"] < 0.01
    return {
        "family": pictures(task) if task.startswith("unseen-") else "",
        "title": first["title"],
        "mark": "" if cells.text(first["report_split"]) is None else "*",
        "examples": cells.count(own["examples"].max()),
        "classes": cells.count(first["classes"]),
        "metric": METRICS.get(first["metric"], cells.text(first["metric"])),
        "chance": cells.percent(first["chance"], 2 if few else 1),
        "baseline": _cell(records[style.BASELINE]) if style.BASELINE in records else cells.MISSING,
        "cells": [
            _cell(records[name], place in top, compared) for place, name in enumerate(trained)
        ],
    }


def _missing(frame: pd.DataFrame) -> dict[str, list[str]]:
    """Return what was not measured, by reason; a task that no model was measured on once."""
    found: dict[str, list[str]] = {}
    for _, own in _tasks(frame):
        absent = own[own["value"].isna()]
        for reason, group in absent.groupby(absent["reason"].fillna("no result"), sort=False):
            title = group["title"].iloc[0]
            models = [style.label(name) for name in group["model"]]
            everyone = len(group) == len(own) and len(own) > 1
            whose = [title] if everyone else [f"{name} on {title}" for name in models]
            found.setdefault(str(reason) or "no result", []).extend(whose)
    return found


def _other_splits(frame: pd.DataFrame) -> list[str]:
    """Return the tasks whose split is not the report's, with both."""
    other = frame[frame["report_split"].map(cells.text).notna()].drop_duplicates("task")
    return [
        f"{row['title']} ({row['split']}; report: {row['report_split']})"
        for row in other.to_dict("records")
    ]


def _cell(row: dict[str, Any], bold: bool = False, compared: bool = False) -> Any:
    if not compared:
        below = cells.interval(row["low"], row["high"], factor=100)
        return cells.stacked(cells.percent(row["value"]), below, bold)
    value = cells.percent(row["value"])
    shown = cells.Tex(rf"\textbf{{{value}}}" if bold else value)
    if cells.known(row["low"]) and cells.known(row["high"]):
        half = cells.percent((row["high"] - row["low"]) / 2)
        shown = cells.Tex(shown + rf"{{\tiny\,$\pm$\,{half}}}")
    return cells.stacked(shown, _beside(row))


def _beside(row: dict[str, Any]) -> cells.Tex:
    """Return the report's number and ours minus it."""
    theirs = row["published"]
    if not cells.known(theirs):
        return cells.Tex("")
    if not cells.known(row["value"]):
        return cells.percent(theirs)
    change = row["value"] - theirs
    sign = "+" if change > 0 else ""
    return cells.Tex(f"{cells.percent(theirs)} ({sign}{cells.percent(change)})")
