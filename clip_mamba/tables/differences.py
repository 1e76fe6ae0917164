"""Rows of the table of robustness: Mamba minus the ViT of its size, trial by trial."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from clip_mamba import style
from clip_mamba.ood.benchmark import included
from clip_mamba.ood.trials import align, base_image, image_id
from clip_mamba.results import Seed
from clip_mamba.seeding import generator
from clip_mamba.statistics import paired_difference
from clip_mamba.tables import seeds
from clip_mamba.tables.consistency import CUE_CONFLICT
from clip_mamba.tables.trials import Trials

#: Values of a set's trials, and the object that each was made from.
Part = tuple[np.ndarray, Sequence[str] | pd.Series]

#: (seeds, n) whether each answer was right.
Scores = np.ndarray


def matched(sizes: Mapping[str, float]) -> dict[str, str]:
    """Return the ViT that is nearest in size to each Mamba model.

    Args:
        sizes: Parameters of the image towers by model.

    Returns:
        Mamba models, in the order of tables, to ViTs; empty if there is no ViT.
    """
    models = [model for model in style.ordered(sizes) if sizes[model]]
    vits = [model for model in models if style.family(model) == "ViT"]
    mambas = [model for model in models if style.is_mamba(model)]
    if not vits:
        return {}
    return {m: min(vits, key=lambda v: abs(math.log(sizes[v] / sizes[m]))) for m in mambas}


def mean_over_sets_interval(
    parts: Mapping[str, Part], seed: Seed, resamples: int = 1000
) -> tuple[float, float]:
    """Return a 95 % interval of the mean over sets of each set's mean.

    Objects are drawn with replacement for all sets at once, as the sets may share them.

    Args:
        parts: By set.
        seed: Of the bootstrap.
        resamples: Number of resamples.

    Returns:
        Lower and upper bound.
    """
    frames = [
        pd.DataFrame({"object": np.asarray(objects), "set": name, "value": values})
        for name, (values, objects) in parts.items()
    ]
    table = pd.concat(frames).pivot_table(
        index="object", columns="set", values="value", aggfunc=["sum", "count"], fill_value=0
    )
    total, shown = table["sum"].to_numpy(), table["count"].to_numpy()  # (objects, sets)
    rng = generator(seed if isinstance(seed, int) else 0, "mean OOD accuracy")
    means = []
    for _ in range(resamples):
        drawn = rng.integers(len(table), size=len(table))
        times = np.bincount(drawn, minlength=len(table))  # (objects,), how often each was drawn
        with np.errstate(invalid="ignore"):
            means.append(np.nanmean((times @ total) / (times @ shown)))
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def difference_rows(
    trials: Trials, sizes: Mapping[str, float], left_out: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    """Return the differences of accuracy on the same pictures, with paired intervals.

    Args:
        trials: From :func:`clip_mamba.tables.read_trials`.
        sizes: Parameters of the image towers by model.
        left_out: Levels that do not count, by condition.

    Returns:
        A row per Mamba model and condition, and one over the shifts with an empty condition.
    """
    rows = []
    for mamba, vit in matched(sizes).items():
        shifts: dict[str, tuple[Scores, Scores, list[str]]] = {}
        for condition in _conditions(trials, mamba, vit):
            kept = [
                [
                    included(trials[run][condition], condition, left_out)
                    for run in sorted(trials, key=str)
                    if run[0] == model and condition in trials[run]
                ]
                for model in (mamba, vit)
            ]
            if not len(kept[0][0]):
                continue
            scores = _scores(*kept)
            found = paired_difference(*scores)
            bounds = {"value": found.value, "low": found.low, "high": found.high}
            rows.append(_row(condition, mamba, vit, len(kept[0]), len(scores[2])) | bounds)
            if condition != CUE_CONFLICT:
                shifts[condition] = scores
        if shifts:
            rows.append(_row("", mamba, vit, 1, 0) | _mean(shifts))
    return rows


def _conditions(trials: Trials, one: str, two: str) -> list[str]:
    """Return the conditions on which both models have trials."""
    seen: list[set[str]] = [
        {name for run, tables in trials.items() if run[0] == model for name in tables}
        for model in (one, two)
    ]
    order = dict.fromkeys(name for tables in trials.values() for name in tables)
    return [name for name in order if name in seen[0] and name in seen[1]]


def _scores(
    one: Sequence[pd.DataFrame], two: Sequence[pd.DataFrame]
) -> tuple[Scores, Scores, list[str]]:
    """Return right answers (seeds, n) of two models in one order, and the n objects shown."""
    first = one[0]
    keys = zip(first["condition"], first["imagename"].map(image_id), strict=True)
    objects = [base_image(name) for _, name in sorted(keys)]
    right = [np.array([align(first, run)[1] for run in runs], dtype=float) for runs in (one, two)]
    return right[0], right[1], objects


def _mean(shifts: Mapping[str, tuple[Scores, Scores, list[str]]]) -> dict[str, float | None]:
    """Return the mean difference over conditions, its interval for objects and seeds."""
    seen = min(min(len(a), len(b)) for a, b, _ in shifts.values())
    values, intervals = [], []
    for seed in range(seen):
        parts = {name: (a[seed] - b[seed], objects) for name, (a, b, objects) in shifts.items()}
        values.append(float(np.mean([value.mean() for value, _ in parts.values()])))
        intervals.append(mean_over_sets_interval(parts, seed))
    return seeds.combine(values, intervals, bounds=(-1, 1)).row()


def _row(condition: str, mamba: str, vit: str, runs: int, examples: int) -> dict[str, Any]:
    return {
        "quantity": "difference", "condition": condition, "level": "", "excluded": False,
        "model": mamba, "other": vit, "seeds": runs, "examples": examples,
    }  # fmt: skip
