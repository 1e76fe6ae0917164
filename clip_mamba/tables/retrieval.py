"""The table of image-text retrieval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from clip_mamba import style
from clip_mamba.results import Result
from clip_mamba.tables import cells, seeds
from clip_mamba.tables.select import by_task, detail, models_of, sources, tasks_of

#: The recalls across, by direction, with their headings.
DIRECTIONS = {"image-to-text": "image to text", "text-to-image": "text to image"}
RECALLS = ("R@1", "R@5", "R@10")

COLUMNS = (
    "task", "title", "split", "model", "image_parameters", "direction", "metric", "seeds",
    "images", "captions", "value", "low", "high", "interval_method", "reason", "source",
)  # fmt: skip


def retrieval(
    results: Sequence[Result],
    *,
    models: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return one row per set, model, direction and recall, and one for their mean.

    Args:
        results: Results; those of kind ``retrieval`` count.
        models: Models that have rows even if they were not measured.
        tasks: Sets that have rows even if nothing was measured, in the table's order.

    Returns:
        A table with the columns ``COLUMNS``; values are shares in [0, 1].
    """
    groups = by_task(results, "retrieval")
    found = [result for group in groups.values() for result in group]
    rows = [
        _row(task, model, direction, name, groups.get((model, task), []), found)
        for task in tasks_of(found, tasks)
        for model in models_of(found, models)
        for direction, name in [*((d, r) for d in DIRECTIONS for r in RECALLS), ("", "mean")]
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(
    task: str, model: str, direction: str, name: str, runs: list[Result], found: list[Result]
) -> dict[str, Any]:
    same = [*runs, *(result for result in found if result.task == task)]
    facts = {
        key: next((v for r in same if (v := detail(r.details, key)) is not None), None)
        for key in ("title", "images", "captions")
    }
    if direction:
        values = [detail(run.details, direction, name, "value") for run in runs]
        intervals = [detail(run.details, direction, name, "interval") for run in runs]
    else:
        values = [run.value for run in runs]
        intervals = [run.interval for run in runs]
    estimate = seeds.combine(values, intervals, [run.reason for run in runs], bounds=(0, 1))
    several = seeds.METHOD.format(n=estimate.seeds) if estimate.seeds > 1 else None
    return {
        "task": task,
        **facts,
        "title": facts["title"] or task,
        "split": same[0].split if same else None,
        "model": model,
        "image_parameters": next((r.image_parameters for r in found if r.model == model), None),
        "direction": direction,
        "metric": name,
        "seeds": estimate.seeds,
        **estimate.row(),
        "interval_method": several or next((r.interval_method for r in runs), None),
        "reason": estimate.reason,
        "source": sources(runs),
    }


def retrieval_context(frame: pd.DataFrame) -> dict[str, Any]:
    """Return what the template shows: a block per set, models down, recalls across.

    Args:
        frame: From :func:`retrieval`.

    Returns:
        Headings, blocks of rows, and notes.
    """
    gaps: dict[str, list[str]] = {}
    blocks = []
    for _, own in frame.groupby("task", sort=False):
        names = style.ordered(own["model"])
        columns = [
            part.set_index("model").loc[names]
            for _, part in own.groupby(["direction", "metric"], sort=False)
        ]
        top = [cells.best(list(column["value"])) for column in columns]
        rows = []
        for place, name in enumerate(names):
            absent = columns[0].loc[name]
            if not cells.known(absent["value"]):
                gaps.setdefault(cells.reason(absent), []).append(f"{name} on {absent['title']}")
            rows.append({
                "model": style.label(name),
                "cells": [
                    cells.share(column.loc[name], place in best, gaps)
                    for column, best in zip(columns, top, strict=True)
                ],
            })
        first = own.iloc[0]
        blocks.append({
            "title": first["title"],
            "split": first["split"] or "--",
            "images": cells.count(first["images"]),
            "captions": cells.count(first["captions"]),
            "rows": rows,
        })
    return {
        "directions": list(DIRECTIONS.values()),
        "recalls": list(RECALLS),
        "blocks": blocks,
        "notes": cells.notes(gaps),
        "marks": cells.LETTERS,
        "methods": cells.methods(frame),
    }
