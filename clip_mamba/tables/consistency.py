"""Rows of the table of robustness: how alike two models, or a model and people, err."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from clip_mamba.corruptions.levels import EXCLUDED_LEVELS
from clip_mamba.ood.benchmark import included
from clip_mamba.ood.metrics import consistency
from clip_mamba.ood.trials import HUMAN
from clip_mamba.tables.kappas import condition_kappas
from clip_mamba.tables.trials import Trials

#: The set that gives the shape bias; it is no part of the mean over the shifts.
CUE_CONFLICT = "cue-conflict"

#: What stands for all people together in the columns ``model`` and ``other``.
PEOPLE = "people"


def error_consistency(
    trials: Trials, models: Sequence[str], left_out: Mapping[str, Sequence[str]]
) -> pd.DataFrame:
    """Return Cohen's kappa of the errors of every pair of models, at the included levels.

    Args:
        trials: From :func:`read_trials`.
        models: The models, in the order of the table.
        left_out: Levels that do not count, by condition.

    Returns:
        Columns ``condition`` (empty for the mean over the shifts), ``model``, ``other``,
        ``value``, a mean over the seeds of both, and ``low`` and ``high``, from a bootstrap over
        objects.
    """
    rows: list[dict[str, Any]] = []
    shifts: dict[tuple[str, str], list[tuple[float, np.ndarray]]] = {}
    for condition, kappas in condition_kappas(trials, models, left_out).items():
        for pair, (value, drawn) in kappas.items():
            rows.append(_row(condition, pair, value, drawn))
            if condition != CUE_CONFLICT:
                shifts.setdefault(pair, []).append((value, drawn))
    for pair, found in shifts.items():
        value = float(np.mean([value for value, _ in found]))
        rows.append(_row("", pair, value, np.mean([drawn for _, drawn in found], axis=0)))
    return pd.DataFrame(rows, columns=["condition", "model", "other", "value", "low", "high"])


def _row(condition: str, pair: tuple[str, str], value: float, drawn: np.ndarray) -> dict[str, Any]:
    low, high = np.quantile(drawn, [0.025, 0.975])
    row = {"condition": condition, "model": pair[0], "other": pair[1]}
    return row | {"value": value, "low": float(low), "high": float(high)}


def human_consistency(
    trials: Trials, models: Sequence[str], humans: Mapping[str, pd.DataFrame]
) -> pd.DataFrame:
    """Return Cohen's kappa of the errors of each model with people, and of people's own errors.

    Args:
        trials: From :func:`clip_mamba.tables.read_trials`.
        models: The models, in the order of the table.
        humans: People's trials by condition.

    Returns:
        The columns of :func:`error_consistency` without intervals, ``other`` being ``people``: a
        mean over people (people with themselves: over pairs of people), at the benchmark's
        levels; NaN where somebody saw different pictures, which leaves the mean missing too (the
        headline numbers' reason says where).
    """
    rows = []
    for condition, answers in humans.items():
        kept = included(answers, condition, EXCLUDED_LEVELS)
        people = [own for name, own in kept.groupby("subj") if str(name).startswith(HUMAN)]
        own = [_kappa(one, two) for one, two in combinations(people, 2)]
        rows.append((condition, PEOPLE, PEOPLE, float(np.mean(own)) if own else np.nan))
        for model in models:
            runs = [
                included(trials[run][condition], condition, EXCLUDED_LEVELS)
                for run in sorted(trials, key=str)
                if run[0] == model and condition in trials[run]
            ]
            values = [_kappa(run, person) for run in runs for person in people]
            if values:
                rows.append((condition, model, PEOPLE, float(np.mean(values))))
    frame = pd.DataFrame(rows, columns=["condition", "model", "other", "value"])
    shifts = frame[frame["condition"] != CUE_CONFLICT].groupby(["model", "other"], sort=False)
    means = shifts["value"].agg(lambda own: own.mean(skipna=False)).reset_index()
    return pd.concat([frame, means.assign(condition="")], ignore_index=True)


def _kappa(one: pd.DataFrame, two: pd.DataFrame) -> float:
    """Return the error consistency; NaN of subjects that saw different pictures."""
    try:
        return consistency(one, two)["error consistency"]
    except ValueError:
        return float("nan")


def consistency_rows(frame: pd.DataFrame, quantity: str) -> list[dict[str, Any]]:
    """Return the rows of the table.

    Args:
        frame: From :func:`error_consistency` or :func:`human_consistency`.
        quantity: The rows' name.

    Returns:
        Rows.
    """
    shared = {"quantity": quantity, "level": "", "excluded": False}
    return [{**shared, **row} for row in frame.to_dict("records")]
