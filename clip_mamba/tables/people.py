"""Rows of the table of robustness: the benchmark's headline numbers, and people's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from clip_mamba.corruptions.levels import EXCLUDED_LEVELS
from clip_mamba.ood.benchmark import PAIRED, benchmark, included, ood_accuracy, ranks
from clip_mamba.ood.intervals import benchmark_intervals
from clip_mamba.ood.metrics import accuracy, shape_bias
from clip_mamba.ood.trials import mismatches
from clip_mamba.results import Seed
from clip_mamba.tables import seeds
from clip_mamba.tables.consistency import CUE_CONFLICT, PEOPLE
from clip_mamba.tables.trials import Trials

#: The benchmark's headline numbers, in the table's order.
BENCHMARK = ("OOD accuracy", *PAIRED, "accuracy rank", "mean rank")

#: Why there is no comparison with people.
NOBODY = "no person has seen these pictures"

Run = tuple[str, Seed]


def benchmark_rows(
    trials: Trials,
    names: Sequence[str],
    humans: Mapping[str, pd.DataFrame],
    left_out: Mapping[str, Sequence[str]],
) -> list[dict[str, Any]]:
    """Return the benchmark's numbers of every model, and of people among themselves.

    Args:
        trials: From :func:`clip_mamba.tables.read_trials`.
        names: The models, in the order of the table.
        humans: People's trials by condition; empty if nobody saw the pictures.
        left_out: Levels that do not count where nobody saw the pictures, by condition.

    Returns:
        Rows of the quantity ``benchmark`` with a name of ``BENCHMARK`` as level. What cannot be
        computed is missing and says why, pictures that only one side saw included.
    """
    sets = list(dict.fromkeys(name for tables in trials.values() for name in tables))
    whole = {run: tables for run, tables in trials.items() if set(tables) == set(sets)}
    why = NOBODY
    if humans:
        whole, why = _comparable(whole, humans, sets)
    compared = bool(whole and humans and not why)
    table = _with_people(whole, humans) if compared else _alone(whole, left_out)
    models = [name for name in names if name in table.index]
    table = ranks(table.reindex(models + [PEOPLE] * compared))
    rows = []
    for model in dict.fromkeys([*names, *table.index]):
        for level in BENCHMARK:
            value = table[level].get(model) if level in table else None
            row = {"quantity": "benchmark", "condition": "", "level": level, "excluded": False,
                   "model": model, "value": value}  # fmt: skip
            for bound in ("low", "high"):
                column = f"{level} {bound}"
                row[bound] = table[column].get(model) if column in table else None
            if value is None or pd.isna(value):
                accuracy_only = level in {"OOD accuracy", "accuracy rank"}
                row["reason"] = "not measured on all sets" if accuracy_only or not why else why
            rows.append(row)
    return rows


def _comparable(
    trials: Mapping[Run, Mapping[str, pd.DataFrame]],
    humans: Mapping[str, pd.DataFrame],
    sets: Sequence[str],
) -> tuple[dict[Run, Mapping[str, pd.DataFrame]], str]:
    """Return the runs, and why they cannot be compared with people, if so."""
    found = [f"no trials of people on {name}" for name in sets if name not in humans]
    for (model, seed), tables in trials.items():
        for name, table in tables.items():
            if name in humans:
                both = pd.concat([table.assign(subj=f"{model}-{seed}"), humans[name]])
                found += mismatches(both, name)
    said = list(dict.fromkeys(found))
    more = f" and {len(said) - 3} more" if len(said) > 3 else ""
    return dict(trials), "; ".join(said[:3]) + more


def _alone(
    trials: Mapping[Run, Mapping[str, pd.DataFrame]], left_out: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """Return the one number that needs no people."""
    values: dict[str, list[float]] = {}
    for (model, _), tables in trials.items():
        named = {name: table.assign(subj=model) for name, table in tables.items()}
        values.setdefault(model, []).append(ood_accuracy(named, [model], left_out))
    means = {model: float(np.mean(found)) for model, found in values.items()}
    return pd.DataFrame({"OOD accuracy": pd.Series(means, dtype=float)})


def _with_people(
    trials: Mapping[Run, Mapping[str, pd.DataFrame]], humans: Mapping[str, pd.DataFrame]
) -> pd.DataFrame:
    """Return the benchmark's table with intervals, a row per model and one for people."""
    runs = {f"{model}-{seed}": (model, tables) for (model, seed), tables in trials.items()}
    together = {
        name: pd.concat([*(t[name].assign(subj=run) for run, (_, t) in runs.items()), people])
        for name, people in humans.items()
        if all(name in tables for _, tables in runs.values())
    }
    table, bounds = benchmark(together), benchmark_intervals(together)
    members: dict[str, list[str]] = {}
    for run, (model, _) in runs.items():
        members.setdefault(model, []).append(run)
    members[PEOPLE] = ["humans"]
    rows: dict[str, dict[str, float | None]] = {}
    for model, own in members.items():
        row: dict[str, float | None] = {}
        rows[model] = row
        for name in ("OOD accuracy", *PAIRED):
            values = [float(table.loc[run, name]) for run in own]
            estimate = seeds.combine(values, [bounds[run].get(name) for run in own])
            row |= {
                name: estimate.value,
                f"{name} low": estimate.low,
                f"{name} high": estimate.high,
            }
    return pd.DataFrame.from_dict(rows, orient="index")


def accuracy_rows(humans: Mapping[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """Return people's accuracies and shape biases: mean, least and most.

    Args:
        humans: People's trials by condition.

    Returns:
        Rows of the quantities ``people-accuracy`` (per level, and with an empty level over the
        benchmark's levels), ``people-mean-accuracy``, ``people-shape-bias`` and
        ``people-shape-decisions``.
    """
    rows, means = [], []
    for condition, table in humans.items():
        levels = [("", included(table, condition, EXCLUDED_LEVELS))]
        levels += [(str(level), own) for level, own in table.groupby("condition", sort=False)]
        for level, own in levels:
            values = [accuracy(trials) for _, trials in own.groupby("subj")]
            rows.append(_crowd("people-accuracy", condition, level, values, len(own)))
            if level == "" and condition != CUE_CONFLICT:
                means.append(float(np.mean(values)))
    rows.append(_crowd("people-mean-accuracy", "", "", means, 0) | {"low": None, "high": None})
    if CUE_CONFLICT in humans:
        rows += _shape_rows(humans[CUE_CONFLICT])
    return rows


def _shape_rows(trials: pd.DataFrame) -> list[dict[str, Any]]:
    parts = [("", trials), *((str(name), own) for name, own in trials.groupby("category"))]
    rows = []
    for category, own in parts:
        found = [(shape_bias(person), len(person)) for _, person in own.groupby("subj")]
        values = [bias["shape bias"] for bias, _ in found if np.isfinite(bias["shape bias"])]
        row = _crowd("people-shape-bias", CUE_CONFLICT, category, values, len(own))
        # As the benchmark has it: of all people's decisions together.
        rows.append(row | {"value": shape_bias(own)["shape bias"]})
        counts = [round((bias["shape"] + bias["texture"]) * n) for bias, n in found]
        rows.append(_crowd("people-shape-decisions", CUE_CONFLICT, category, counts, len(own)))
    return rows


def _crowd(
    quantity: str, condition: str, level: str, values: Sequence[float], examples: int
) -> dict[str, Any]:
    known = list(values) or [float("nan")]
    return {
        "quantity": quantity, "condition": condition, "level": level, "excluded": False,
        "model": PEOPLE, "examples": examples, "value": float(np.mean(known)),
        "low": min(known), "high": max(known),
    }  # fmt: skip
