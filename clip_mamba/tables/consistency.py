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
        Columns ``condition``, ``model``, ``other``, ``value``; a mean over the seeds of both,
        and NaN where kappa is undefined.
    """
    chosen = {name: [run for run in sorted(trials) if run[0] == name] for name in models}
    rows = []
    for condition in dict.fromkeys(c for tables in trials.values() for c in tables):
        kept = {
            run: included(tables[condition], condition, left_out)
            for run, tables in trials.items()
            if condition in tables
        }
        for i, one in enumerate(models):
            for two in models[i + 1 :]:
                pairs = [(a, b) for a in chosen[one] for b in chosen[two]]
                values = [
                    consistency(kept[a], kept[b])["error consistency"]
                    for a, b in pairs
                    if a in kept and b in kept and len(kept[a])
                ]
                if values:
                    rows.append((condition, one, two, float(np.mean(values))))
    return pd.DataFrame(rows, columns=["condition", "model", "other", "value"])


def human_consistency(
    trials: Trials, models: Sequence[str], humans: Mapping[str, pd.DataFrame]
) -> pd.DataFrame:
    """Return Cohen's kappa of the errors of each model with people, and of people's own errors.

    Args:
        trials: From :func:`clip_mamba.tables.read_trials`.
        models: The models, in the order of the table.
        humans: People's trials by condition.

    Returns:
        The columns of :func:`error_consistency`, ``other`` being ``people``: a mean over people
        (people with themselves: over pairs of people), at the benchmark's levels; NaN where
        somebody saw different pictures.
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
    return pd.DataFrame(rows, columns=["condition", "model", "other", "value"])


def _kappa(one: pd.DataFrame, two: pd.DataFrame) -> float:
    """Return the error consistency; NaN of subjects that saw different pictures."""
    try:
        return consistency(one, two)["error consistency"]
    except ValueError:
        return float("nan")


def consistency_rows(frame: pd.DataFrame, quantity: str) -> list[dict[str, Any]]:
    """Return the rows of the table, with the mean over the shifts under an empty condition.

    Args:
        frame: From :func:`error_consistency` or :func:`human_consistency`.
        quantity: The rows' name.

    Returns:
        Rows.
    """
    shared = {"quantity": quantity, "level": "", "excluded": False}
    rows = [{**shared, **row} for row in frame.to_dict("records")]
    shifts = frame[frame["condition"] != CUE_CONFLICT]
    # Models saw the same pictures: what is missing is undefined. With people, it is a mismatch,
    # which leaves the mean missing as well; the headline numbers' reason says where.
    undefined = quantity == "error-consistency"
    for (one, two), own in shifts.groupby(["model", "other"], sort=False):
        mean = own["value"].mean(skipna=undefined)
        if undefined and own["value"].isna().all():
            continue
        rows.append({**shared, "condition": "", "model": one, "other": two, "value": mean})
    return rows
