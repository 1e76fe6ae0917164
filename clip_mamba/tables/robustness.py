"""The table of out-of-distribution accuracies, shape bias, consistency and the benchmark's numbers.

One tidy frame holds what the LaTeX table and the figures show; its rows are told apart by the
column ``quantity``:

- ``accuracy``: per level, and with an empty level over the included ones;
- ``mean-accuracy``: over all conditions but cue-conflict;
- ``shape-bias``: with a category as level, and with an empty level over all;
- ``shape-decisions``: how many decisions that rests on; ``guessed-decisions``: by guessing;
- ``difference``: accuracy of a Mamba model minus that of the ViT of its size (``other``), per
  condition, and with an empty condition the mean over the shifts; only these rows have a ``p``;
- ``error-consistency``: of two models; ``human-consistency``: of a model and people; with an
  empty condition the mean over the shifts;
- ``favourite-answer``: the share of a model's most frequent answer (the level);
- ``benchmark``: the quantities of :data:`clip_mamba.tables.people.BENCHMARK` as levels;
- ``people-accuracy``, ``people-shape-bias`` and ``people-shape-decisions``: mean over people,
  with the least and the most;
- ``objects``: distinct objects of a category (the level), of sketches and of all other sets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from clip_mamba.ood.trials import base_image, correct
from clip_mamba.results import Result, Seed
from clip_mamba.tables import people, seeds
from clip_mamba.tables.answers import favourite_rows
from clip_mamba.tables.consistency import (
    CUE_CONFLICT,
    consistency_rows,
    error_consistency,
    human_consistency,
)
from clip_mamba.tables.cues import guessed_rows, shape_rows
from clip_mamba.tables.differences import difference_rows, mean_over_sets_interval
from clip_mamba.tables.select import by_task, detail, models_of, sources, tasks_of
from clip_mamba.tables.trials import Trials
from clip_mamba.variants import variant

COLUMNS = (
    "quantity", "condition", "level", "excluded", "model", "other", "seeds", "examples", "value",
    "low", "high", "p", "chance", "reason", "source",
)  # fmt: skip


def ood(
    results: Sequence[Result],
    *,
    trials: Trials | None = None,
    models: Sequence[str] | None = None,
    conditions: Sequence[str] | None = None,
    humans: Mapping[str, pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """Return every out-of-distribution number as one tidy table.

    Args:
        results: Results; those of kind ``ood`` count.
        trials: From :func:`clip_mamba.tables.read_trials`; without them there are no
            consistencies, differences and headline numbers.
        models: Models that have rows even if they were not measured.
        conditions: Conditions that have rows even if not measured, in the table's order.
        humans: People's trials by condition, if people saw the same pictures.

    Returns:
        A table with the columns ``COLUMNS``; values are shares in [0, 1] (kappa in [-1, 1],
        ranks from 1).
    """
    groups = by_task(results, "ood")
    found = [result for group in groups.values() for result in group]
    names, tasks = models_of(found, models), tasks_of(found, conditions)
    rows: list[dict[str, Any]] = []
    for model in names:
        for condition in tasks:
            rows += _condition_rows(model, condition, groups.get((model, condition), []))
        own = {task: groups.get((model, task), []) for task in tasks if task != CUE_CONFLICT}
        rows.append(_mean_row(model, own, trials))
        rows += shape_rows(model, groups.get((model, CUE_CONFLICT), []))
    if trials:
        left_out = {r.task: detail(r.details, "excluded_levels") or [] for r in found}
        frame = error_consistency(trials, names, left_out)
        rows += consistency_rows(frame, "error-consistency")
        sizes = {r.model: r.image_parameters for r in found if not variant(r.model)}
        rows += difference_rows(trials, sizes, left_out)
        rows += people.benchmark_rows(trials, names, humans or {}, left_out)
        rows += favourite_rows(trials, names, left_out)
        rows += guessed_rows(trials, next((detail(r.details, "chance") for r in found), None))
    if humans:
        rows += people.accuracy_rows(humans)
        frame = human_consistency(trials or {}, names, humans)
        rows += consistency_rows(frame, "human-consistency")
    rows += _object_rows(found)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _condition_rows(model: str, condition: str, runs: list[Result]) -> list[dict[str, Any]]:
    """Return the headline row of a condition and one row per level."""
    chance = detail(runs[0].details, "chance") if runs else None
    shared = {"condition": condition, "model": model, "chance": chance, "source": sources(runs)}
    estimate = seeds.combine(
        [r.value for r in runs], [r.interval for r in runs], [r.reason for r in runs], (0, 1)
    )
    rows = [
        {
            **shared,
            "quantity": "accuracy",
            "level": "",
            "excluded": False,
            "seeds": estimate.seeds,
            "examples": max((r.examples for r in runs), default=0),
            **estimate.row(),
            "reason": estimate.reason,
        }
    ]
    levels: dict[str, list[Any]] = {}
    for run in runs:
        for entry in detail(run.details, "levels") or []:
            levels.setdefault(entry["level"], []).append(entry)
    left_out = set(detail(runs[0].details, "excluded_levels") or []) if runs else set()
    for level, entries in levels.items():
        estimate = seeds.combine(
            [e["accuracy"] for e in entries], [e["interval"] for e in entries], (), (0, 1)
        )
        rows.append({
            **shared,
            "quantity": "accuracy",
            "level": level,
            "excluded": level in left_out,
            "seeds": estimate.seeds,
            "examples": entries[0]["examples"],
            **estimate.row(),
        })
    return rows


def _mean_row(model: str, runs: dict[str, list[Result]], trials: Trials | None) -> dict[str, Any]:
    """Return the mean over conditions; missing as soon as one condition is."""
    row: dict[str, Any] = {
        "quantity": "mean-accuracy", "condition": "", "level": "", "excluded": False,
        "model": model, "seeds": 0,
    }  # fmt: skip
    absent = [c for c, found in runs.items() if not any(r.value is not None for r in found)]
    if absent or not runs:
        return row | {"reason": f"not measured: {', '.join(absent) or 'any condition'}"}
    values, intervals = [], []
    for seed in sorted({r.seed for found in runs.values() for r in found}, key=str):
        own = [r for found in runs.values() for r in found if r.seed == seed]
        if len(own) < len(runs) or any(r.value is None for r in own):
            continue
        values.append(float(np.mean([r.value for r in own])))
        tables = (trials or {}).get((model, seed))
        intervals.append(_bootstrap(tables, own, seed) if tables else _bounds(own))
    estimate = seeds.combine(values, intervals, ["no seed has all conditions"], (0, 1))
    return row | {
        **estimate.row(),
        "seeds": estimate.seeds,
        "chance": next((detail(r.details, "chance") for f in runs.values() for r in f), None),
        "reason": estimate.reason,
        "source": " ".join(sources(found) for found in runs.values()),
    }


def _bounds(runs: list[Result]) -> tuple[float, float] | None:
    known = [r.interval for r in runs if r.interval is not None]
    if len(known) < len(runs):
        return None
    low, high = np.mean(known, axis=0)
    return float(low), float(high)


def _bootstrap(
    tables: Mapping[str, pd.DataFrame], runs: list[Result], seed: Seed
) -> tuple[float, float]:
    """Return an interval of the mean over conditions, drawing objects for all at once."""
    parts = {}
    for run in runs:
        left_out = detail(run.details, "excluded_levels") or []
        kept = tables[run.task][~tables[run.task]["condition"].isin(left_out)]
        parts[run.task] = (correct(kept).astype(float), kept["imagename"].map(base_image))
    return mean_over_sets_interval(parts, seed)


def _object_rows(found: Sequence[Result]) -> list[dict[str, Any]]:
    """Return how many distinct objects each category has, where it has fewest.

    Sketches, which show line art where there is any, have a row of their own.
    """
    counts: dict[tuple[str, str], int] = {}
    for result in found:
        condition = result.task if result.task == "sketch" else ""
        for category, entry in (detail(result.details, "categories") or {}).items():
            key, number = (condition, category), entry["objects"]
            counts[key] = min(counts.get(key, number), number)
    return [
        {
            "quantity": "objects",
            "condition": condition,
            "level": category,
            "excluded": False,
            "model": "",
            "value": number,
        }
        for (condition, category), number in counts.items()
    ]
