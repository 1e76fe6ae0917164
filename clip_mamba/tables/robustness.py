"""The table of out-of-distribution accuracies, shape bias and error consistency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from clip_mamba import ood_metrics, style
from clip_mamba.results import Result
from clip_mamba.seeding import generator
from clip_mamba.tables import cells, seeds
from clip_mamba.tables.select import by_task, detail, models_of, sources, tasks_of

#: The set that gives the shape bias; it is no part of the mean over the shifts.
CUE_CONFLICT = "cue-conflict"

COLUMNS = (
    "quantity", "condition", "level", "excluded", "model", "other", "seeds", "examples", "value",
    "low", "high", "chance", "reason", "source",
)  # fmt: skip

#: How the interval of the mean over conditions is made, with and without trials.
MEAN_METHOD = "percentile bootstrap, 1000 resamples of the objects that all conditions share"
BOUND_METHOD = "mean of the conditions' bounds, an upper limit of the width"

#: (model, seed) to its trials by condition.
Trials = Mapping[tuple[str, int], Mapping[str, pd.DataFrame]]


def read_trials(paths: Sequence[str | Path]) -> dict[tuple[str, int], dict[str, pd.DataFrame]]:
    """Read trials from files ``.../{model}-{seed}/{condition}.csv``.

    Args:
        paths: The files.

    Returns:
        (model, seed) to its trials by condition.

    Raises:
        ValueError: If a folder's name does not end with a seed.
    """
    found: dict[tuple[str, int], dict[str, pd.DataFrame]] = {}
    for path in map(Path, paths):
        model, _, seed = path.parent.name.rpartition("-")
        if not model or not seed.isdigit():
            raise ValueError(f"{path}: trials must lie in a folder named <model>-<seed>")
        table = ood_metrics.read_trials(path, path.stem)
        found.setdefault((model, int(seed)), {})[path.stem] = table
    return found


def ood(
    results: Sequence[Result],
    *,
    trials: Trials | None = None,
    models: Sequence[str] | None = None,
    conditions: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Return every out-of-distribution number as one tidy table.

    Quantities: ``accuracy`` (per level, and with an empty level over the included ones),
    ``mean-accuracy`` (over all conditions but cue-conflict), ``shape-bias``, and
    ``error-consistency`` (model with other, per condition and with an empty condition the mean;
    needs the trials).

    Args:
        results: Results; those of kind ``ood`` count.
        trials: From :func:`read_trials`.
        models: Models that have rows even if they were not measured.
        conditions: Conditions that have rows even if not measured, in the table's order.

    Returns:
        A table with the columns ``COLUMNS``; values are shares in [0, 1] (kappa in [-1, 1]).
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
        rows.append(_shape_row(model, groups.get((model, CUE_CONFLICT), [])))
    if trials:
        rows += _consistency_rows(trials, names, found)
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
    for seed in sorted({r.seed for found in runs.values() for r in found}):
        own = [r for found in runs.values() for r in found if r.seed == seed]
        if len(own) < len(runs) or any(r.value is None for r in own):
            continue
        values.append(float(np.mean([r.value for r in own])))
        tables = (trials or {}).get((model, seed))
        intervals.append(_bootstrap(tables, own) if tables else _bounds(own))
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


def _bootstrap(tables: Mapping[str, pd.DataFrame], runs: list[Result]) -> tuple[float, float]:
    """Return an interval of the mean over conditions, drawing objects for all at once."""
    parts = []
    for place, run in enumerate(runs):
        left_out = detail(run.details, "excluded_levels") or []
        kept = tables[run.task][~tables[run.task]["condition"].isin(left_out)]
        objects = kept["imagename"].map(ood_metrics.base_image)
        right = ood_metrics.correct(kept).astype(float)
        parts.append(pd.DataFrame({"object": objects, "set": place, "right": right}))
    trials = pd.concat(parts)
    table = trials.pivot_table(
        index="object", columns="set", values="right", aggfunc=["sum", "count"], fill_value=0
    )
    right, shown = table["sum"].to_numpy(), table["count"].to_numpy()  # (objects, sets)
    rng = generator(runs[0].seed, "mean OOD accuracy")
    means = []
    for _ in range(1000):
        drawn = rng.integers(len(table), size=len(table))
        with np.errstate(invalid="ignore"):
            means.append(np.nanmean(right[drawn].sum(0) / shown[drawn].sum(0)))
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _shape_row(model: str, runs: list[Result]) -> dict[str, Any]:
    found = [(detail(run.details, "cue_conflict") or {}) for run in runs]
    estimate = seeds.combine(
        [cue.get("shape_bias") for cue in found],
        [cue.get("interval") for cue in found],
        [run.reason or "no decision followed shape or texture" for run in runs],
        (0, 1),
    )
    return {
        "quantity": "shape-bias",
        "condition": CUE_CONFLICT,
        "level": "",
        "excluded": False,
        "model": model,
        "seeds": estimate.seeds,
        "examples": max((run.examples for run in runs), default=0),
        **estimate.row(),
        "reason": estimate.reason,
        "source": sources(runs),
    }


def error_consistency(
    trials: Trials, models: Sequence[str], left_out: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """Return Cohen's kappa of the errors of every pair of models, at the included levels.

    Args:
        trials: From :func:`read_trials`.
        models: The models, in the order of the table.
        left_out: Levels that do not count, by condition.

    Returns:
        Columns ``condition``, ``model``, ``other``, ``value``; a mean over the seeds of both,
        and NaN where kappa is undefined.
    """
    chosen = {name: [run for run in sorted(trials) if run[0] == name] for name in models}
    rows = []
    for condition in dict.fromkeys(c for tables in trials.values() for c in tables):
        kept = {
            run: ood_metrics.included(tables[condition], condition, left_out)
            for run, tables in trials.items()
            if condition in tables
        }
        for i, one in enumerate(models):
            for two in models[i + 1 :]:
                pairs = [(a, b) for a in chosen[one] for b in chosen[two]]
                values = [
                    ood_metrics.consistency(kept[a], kept[b])["error consistency"]
                    for a, b in pairs
                    if a in kept and b in kept and len(kept[a])
                ]
                if values:
                    rows.append((condition, one, two, float(np.mean(values))))
    return pd.DataFrame(rows, columns=["condition", "model", "other", "value"])


def _consistency_rows(
    trials: Trials, names: Sequence[str], found: Sequence[Result]
) -> list[dict[str, Any]]:
    left_out = {r.task: detail(r.details, "excluded_levels") or [] for r in found}
    frame = error_consistency(trials, names, left_out)
    shared = {"quantity": "error-consistency", "level": "", "excluded": False}
    rows = [{**shared, **row} for row in frame.to_dict("records")]
    shifts = frame[frame["condition"] != CUE_CONFLICT].dropna(subset="value")
    for (one, two), own in shifts.groupby(["model", "other"], sort=False):
        mean = own["value"].mean()
        rows.append({**shared, "condition": "", "model": one, "other": two, "value": mean})
    return rows


def ood_context(frame: pd.DataFrame) -> dict[str, Any]:
    """Return what the template shows: conditions down, models across.

    Args:
        frame: From :func:`ood`.

    Returns:
        Models, rows of cells per condition, summary rows and notes.
    """
    names = style.ordered(frame["model"])
    missing: dict[str, list[str]] = {}

    def line(own: pd.DataFrame, title: str) -> dict[str, Any]:
        records = {row["model"]: row for row in own.to_dict("records")}
        top = cells.best([records[name]["value"] for name in names])
        for name in names:
            if not cells.known(records[name]["value"]):
                why = cells.text(records[name]["reason"]) or "no result"
                missing.setdefault(why, []).append(f"{name} on {title}")
        shown = [
            cells.stacked(
                cells.percent(records[name]["value"]),
                cells.interval(records[name]["low"], records[name]["high"], factor=100),
                bold=place in top and "bias" not in title,
            )
            for place, name in enumerate(names)
        ]
        return {"title": title, "cells": shown}

    headline = frame[(frame["quantity"] == "accuracy") & (frame["level"] == "")]
    rows = [line(own, str(name)) for name, own in headline.groupby("condition", sort=False)]
    shifts = sum(row["title"] != CUE_CONFLICT for row in rows)
    summary = [
        line(frame[frame["quantity"] == "mean-accuracy"], f"mean of the {shifts}"),
        line(frame[frame["quantity"] == "shape-bias"], "shape bias"),
    ]
    left_out = frame[frame["excluded"] == True]  # noqa: E712 - the column may hold missing values
    return {
        "models": names,
        "rows": rows,
        "summary": summary,
        "notes": cells.notes(missing),
        "chance": cells.percent(frame["chance"].dropna().max() if len(frame) else None, 2),
        "examples": cells.count(headline["examples"].max() if len(headline) else None),
        "excluded": len(left_out.drop_duplicates(["condition", "level"])),
        "method": MEAN_METHOD if "error-consistency" in set(frame["quantity"]) else BOUND_METHOD,
    }
