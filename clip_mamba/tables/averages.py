"""Means over zero-shot tasks, of models and of the original report."""

from __future__ import annotations

import numpy as np
import pandas as pd

from clip_mamba import style
from clip_mamba.tables import seeds

COLUMNS = (
    "model", "image_parameters", "tasks", "value", "low", "high", "published",
    "published_parameters",
)  # fmt: skip


def averages(frame: pd.DataFrame) -> pd.DataFrame:
    """Return each model's mean over the tasks that every model was measured on.

    Half-widths within a run are added in quadrature between tasks with different examples, and
    plainly between tasks on the same pictures, as if these erred together; a seed is shared by
    all tasks, so the spread over seeds is that of the seeds' means.

    Args:
        frame: From :func:`clip_mamba.tables.zeroshot`.

    Returns:
        A row per model, the baseline left out, with the columns ``COLUMNS``. Models without any
        result have no value. ``published`` is the report's mean over the same tasks, or over all
        of its tasks if nothing was measured.
    """
    trained = frame[frame["model"] != style.BASELINE]
    measured = trained[trained["value"].notna()]
    counts = measured.groupby("task")["model"].nunique()
    common = list(counts.index[counts == measured["model"].nunique()])
    rows = []
    for model in style.ordered(trained["model"]):
        own = trained[trained["model"] == model]
        shared = own[own["task"].isin(common)] if common else own
        known = own["value"].notna().any() and bool(common)
        estimate = _mean(shared) if known else seeds.Estimate(None)
        theirs = shared["published"]
        rows.append({
            "model": model,
            "image_parameters": own["image_parameters"].dropna().max(),
            "tasks": len(common),
            **estimate.row(),
            "published": theirs.mean() if theirs.notna().all() and len(theirs) else None,
            "published_parameters": own["published_parameters"].dropna().max(),
        })
    return pd.DataFrame(rows, columns=list(COLUMNS))


def pictures(task: str) -> str:
    """Return what tasks on the same pictures have in common.

    Args:
        task: A task's name.

    Returns:
        The demo's split for its three levels of classes; else the task.
    """
    return task.rpartition("-")[0] if task.startswith("unseen-") else task


def _mean(rows: pd.DataFrame) -> seeds.Estimate:
    """Return the mean of one model's tasks with an interval."""
    family = rows["task"].map(pictures)
    halves = rows[["below", "above"]].astype(float).fillna(0).groupby(family).sum()
    within = np.sqrt((halves**2).sum()) / len(rows)
    runs = [[float(part) for part in str(cell).split()] for cell in rows["by_seed"]]
    fewest = min(map(len, runs))
    by_seed = np.mean([run[:fewest] for run in runs], axis=0)
    if min(map(len, runs)) != max(map(len, runs)):  # some seed lacks some task
        by_seed = np.array([rows["value"].mean()])
    intervals = [(v - within["below"], v + within["above"]) for v in by_seed]
    return seeds.combine([float(v) for v in by_seed], intervals, bounds=(0, 1))
