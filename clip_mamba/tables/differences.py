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
from clip_mamba.statistics import Difference, bootstrap_difference, paired_difference
from clip_mamba.tables.consistency import CUE_CONFLICT
from clip_mamba.tables.trials import Trials

#: Values of a set's trials, and the object that each was made from.
Part = tuple[np.ndarray, Sequence[str] | pd.Series]

#: Of objects, for an interval of a mean over sets; p is read off twice as many.
RESAMPLES = 1000
METHOD = f"paired bootstrap, {2 * RESAMPLES} resamples of the objects of all conditions at once"

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


def mean_over_sets_interval(parts: Mapping[str, Part], seed: Seed) -> tuple[float, float]:
    """Return a 95 % interval of the mean over sets of each set's mean.

    Args:
        parts: By set.
        seed: Of the bootstrap.

    Returns:
        Lower and upper bound.
    """
    low, high = np.quantile(_means_over_sets(parts, seed, RESAMPLES), [0.025, 0.975])
    return float(low), float(high)


def _means_over_sets(parts: Mapping[str, Part], seed: Seed, resamples: int) -> np.ndarray:
    """Return (resamples,) means; objects are drawn for all sets at once, which may share them."""
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
    return np.array(means)


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
            rows.append(_row(condition, mamba, vit, scores, found))
            if condition != CUE_CONFLICT:
                shifts[condition] = scores
        if shifts:
            rows.append(_mean(mamba, vit, shifts))
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


def _mean(
    mamba: str, vit: str, shifts: Mapping[str, tuple[Scores, Scores, list[str]]]
) -> dict[str, Any]:
    """Return the row of the mean over conditions, for objects and seeds."""
    # A condition may lack a seed of either model.
    first, second = (min(len(scores[place]) for scores in shifts.values()) for place in (0, 1))
    kept = {name: (a[:first], b[:second], who) for name, (a, b, who) in shifts.items()}
    parts = {name: (a.mean(0) - b.mean(0), who) for name, (a, b, who) in kept.items()}
    per_set = [a.mean(1) for a, _, _ in kept.values()], [b.mean(1) for _, b, _ in kept.values()]
    runs = [np.mean(own, axis=0) for own in per_set]
    found = bootstrap_difference(runs, _means_over_sets(parts, 0, 2 * RESAMPLES), METHOD)
    return _row("", mamba, vit, next(iter(kept.values())), found) | {"examples": 0}


def _row(
    condition: str,
    mamba: str,
    vit: str,
    scores: tuple[Scores, Scores, list[str]],
    found: Difference,
) -> dict[str, Any]:
    return {
        "quantity": "difference", "condition": condition, "level": "", "excluded": False,
        "model": mamba, "other": vit, "seeds": len(scores[0]), "examples": len(scores[2]),
        "value": found.value, "low": found.low, "high": found.high, "p": found.p,
    }  # fmt: skip
