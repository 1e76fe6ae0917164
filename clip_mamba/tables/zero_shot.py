"""The tables of zero-shot accuracies and of linear probes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from clip_mamba import style
from clip_mamba.comparison import task_scores
from clip_mamba.results import Result
from clip_mamba.tables import cells, seeds
from clip_mamba.tables.averages import Averages, averages, mean_rows, per_task
from clip_mamba.tables.gains import COLUMNS as GAINS
from clip_mamba.tables.gains import gains
from clip_mamba.tables.published import PUBLISHED, published, titles
from clip_mamba.tables.select import by_task, detail, models_of, sources, tasks_of

COLUMNS = (
    "task", "title", "split", "report_split", "metric", "model", "image_parameters", "seeds",
    "examples", "classes", "tasks", "value", "low", "high", "interval_method", "chance",
    "majority", "trivial", "times_trivial", "other", "gain", "gain_low", "gain_high", "gain_p",
    "gain_method", "published", "difference", "published_parameters", "note", "reason", "source",
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
    predictions: Iterable[str | Path] = (),
    report: str | Path = PUBLISHED,
) -> pd.DataFrame:
    """Return one row per task and model, the pixel baseline included, and the models' means.

    Args:
        results: Results; those of kind ``zeroshot`` count.
        models: Models that have rows even if they were not measured.
        tasks: Tasks that have rows even if they were not measured, in the table's order.
        predictions: Parquet files ``.../{model}-{seed}/{task}.parquet``; without them there are
            neither intervals of the means nor paired differences.
        report: The original report's own numbers.

    Returns:
        A table with the columns ``COLUMNS``; values are shares in [0, 1]. Means over the tasks
        that every model was measured on have an empty task. ``trivial`` is what can be scored
        without a look at the picture, ``gain`` Mamba minus the ViT nearest in size (``other``) on
        the same examples, and ``difference`` ours minus the report's.
    """
    frame = scores(results, "zeroshot", models, tasks)
    later = {"published", "published_parameters", *GAINS} - {"task", "model"}
    frame = frame.drop(columns=[*later]).merge(published(report), on=["model", "task"], how="left")
    kept = task_scores(results, predictions)
    means = Averages(frame, kept)
    paired = gains(frame, kept, means)
    rows = [*frame.to_dict("records"), *mean_rows(frame, means)]
    frame = pd.DataFrame(rows, columns=frame.columns)
    frame = frame.merge(paired, on=["model", "task"], how="left").fillna({"other": ""})
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
    value = estimate.value
    metric = same[0].metric if same else None
    trivial = _trivial(metric, facts["chance"], facts["majority"])
    several = seeds.METHOD.format(n=estimate.seeds) if estimate.seeds > 1 else None
    return {
        "task": task,
        **facts,
        "title": facts["title"] or titles().get(task, task),
        "split": same[0].split if same else None,
        "metric": metric,
        "model": model,
        "image_parameters": next((r.image_parameters for r in found if r.model == model), None),
        "seeds": estimate.seeds,
        "examples": max((r.examples for r in runs), default=0),
        **estimate.row(),
        "interval_method": several or next((r.interval_method for r in runs), None),
        "trivial": trivial,
        "times_trivial": value / trivial if value is not None and trivial else None,
        "reason": estimate.reason,
        "source": sources(runs),
    }


def _trivial(metric: str | None, chance: float | None, majority: float | None) -> float | None:
    """Return the better of two answers without a look: a guess, and always the commonest class."""
    # Where a metric weighs classes equally, the commonest one gains nothing.
    if metric != "top1" or chance is None or majority is None:
        return chance
    return max(chance, majority)


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
    single, mean = per_task(frame), averages(frame)
    gaps = _missing(single)
    rows = [_shown(task, own, trained, compared, gaps) for task, own in _tasks(single)]
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
        "notes": cells.notes(gaps),
        "marks": cells.LETTERS,
        "splits": _other_splits(single),
        "methods": cells.methods(single),
        "mean_method": next((m for m in mean["interval_method"] if isinstance(m, str)), None),
        "metrics": sorted({row["metric"] for row in rows if row["metric"]}),
        "seeds": int(frame["seeds"].max()) if len(frame) else 0,
    }


def _tasks(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    return [(str(task), own) for task, own in frame.groupby("task", sort=False)]


def _shown(
    task: str, own: pd.DataFrame, trained: list[str], compared: bool, gaps: Collection[str]
) -> dict[str, Any]:
    """Return a task's row of cells."""
    records = {row["model"]: row for row in own.to_dict("records")}
    top = cells.best([records[name]["value"] for name in trained])
    first = own.iloc[0]
    few = first["chance"] is not None and first["chance"] < 0.01
    return {
        # Tasks on the same pictures stand together.
        "family": task.rpartition("-")[0] if task.startswith("unseen-") else "",
        "title": first["title"],
        "mark": "" if cells.text(first["report_split"]) is None else "*",
        "examples": cells.count(own["examples"].max()),
        "classes": cells.count(first["classes"]),
        "metric": METRICS.get(first["metric"], cells.text(first["metric"])),
        "chance": cells.percent(first["chance"], 2 if few else 1),
        "trivial": cells.percent(first["trivial"], 2 if few else 1),
        "baseline": _cell(records[style.BASELINE], gaps=gaps)
        if style.BASELINE in records
        else cells.MISSING,
        "cells": [
            _cell(records[name], place in top, compared, gaps) for place, name in enumerate(trained)
        ],
    }


def _missing(frame: pd.DataFrame) -> dict[str, list[str]]:
    """Return what was not measured, by reason; a task that no model was measured on once."""
    found: dict[str, list[str]] = {}
    for _, own in _tasks(frame):
        absent = own[own["value"].isna()]
        for reason, group in absent.groupby(absent.apply(cells.reason, axis=1), sort=False):
            title = group["title"].iloc[0]
            models = [style.label(name) for name in group["model"]]
            everyone = len(group) == len(own) and len(own) > 1
            whose = [title] if everyone else [f"{name} on {title}" for name in models]
            found.setdefault(str(reason), []).extend(whose)
    return found


def _other_splits(frame: pd.DataFrame) -> list[str]:
    """Return the tasks whose split is not the report's, with both."""
    other = frame[frame["report_split"].map(cells.text).notna()].drop_duplicates("task")
    return [
        f"{row['title']} ({row['split']}; report: {row['report_split']})"
        for row in other.to_dict("records")
    ]


def _cell(
    row: dict[str, Any], bold: bool = False, compared: bool = False, gaps: Collection[str] = ()
) -> cells.Tex:
    if not compared:
        return cells.share(row, bold, gaps)
    missing = gaps and not cells.known(row["value"])
    value = cells.gap(row, gaps) if missing else cells.percent(row["value"])
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
