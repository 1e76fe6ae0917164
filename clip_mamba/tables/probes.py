"""The table of linear probes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from clip_mamba import style
from clip_mamba.results import Result
from clip_mamba.tables import cells
from clip_mamba.tables.select import by_task, detail
from clip_mamba.tables.zero_shot import METRICS, scores

COLUMNS = (
    "task", "title", "split", "metric", "model", "image_parameters", "seeds", "examples",
    "train_examples", "classes", "c", "value", "low", "high", "interval_method", "chance",
    "majority", "trivial", "times_trivial", "reason", "source",
)  # fmt: skip


def linear_probe(
    results: Sequence[Result],
    *,
    models: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return one row per task and model.

    Args:
        results: Results; those of kind ``linear-probe`` count.
        models: Models that have rows even if they were not measured.
        tasks: Tasks that have rows even if they were not measured, in the table's order.

    Returns:
        A table with the columns ``COLUMNS``; values are shares in [0, 1]; ``c`` is the inverse
        strength of the penalty that was chosen, the geometric mean over seeds.
    """
    frame = scores(results, "linear-probe", models, tasks)
    groups = by_task(results, "linear-probe")
    chosen, counts = [], []
    for task, model in zip(frame["task"], frame["model"], strict=True):
        runs = groups.get((model, task), [])
        found = [c for run in runs if (c := detail(run.details, "C")) is not None]
        chosen.append(float(np.exp(np.mean(np.log(found)))) if found else None)
        counts.append(next((detail(run.details, "train_examples") for run in runs), None))
    return frame.assign(c=chosen, train_examples=counts)[list(COLUMNS)]


def linear_probe_context(frame: pd.DataFrame) -> dict[str, Any]:
    """Return what the template shows: tasks down, models across.

    Args:
        frame: From :func:`linear_probe`.

    Returns:
        Models, rows of cells and notes.
    """
    names = style.ordered(frame["model"])
    gaps: dict[str, list[str]] = {}
    rows = []
    for _, own in frame.groupby("task", sort=False):
        records = own.set_index("model").loc[names]
        for name, row in records.iterrows():
            if not cells.known(row["value"]):
                gaps.setdefault(cells.reason(row), []).append(f"{name} on {row['title']}")
        top = cells.best(list(records["value"]))
        first = own.iloc[0]
        rows.append({
            "title": first["title"],
            "classes": cells.count(first["classes"]),
            "train": cells.count(own["train_examples"].max()),
            "chance": cells.percent(first["chance"]),
            "trivial": cells.percent(first["trivial"]),
            "metric": METRICS.get(first["metric"], cells.text(first["metric"])),
            "cells": [
                cells.share(row, place in top, gaps)
                for place, row in enumerate(records.to_dict("records"))
            ],
        })
    return {
        "models": [cells.heading(name) for name in names],
        "rows": rows,
        "notes": cells.notes(gaps),
        "marks": cells.LETTERS,
        "metrics": sorted({row["metric"] for row in rows if row["metric"]}),
        "methods": cells.methods(frame),
    }
