"""Cohen's kappa of the errors of two models over conditions, with bootstrap intervals.

Symbols: B resamples; o objects of all conditions; n pictures of one. An object that is drawn
counts in every condition that shows it, since the conditions may share their objects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, product

import numpy as np
import pandas as pd

from clip_mamba.ood.benchmark import included
from clip_mamba.ood.intervals import paired
from clip_mamba.ood.trials import align, base_image, image_id
from clip_mamba.results import Seed
from clip_mamba.seeding import generator
from clip_mamba.tables.trials import Trials

Run = tuple[str, Seed]

#: Two models to the pairs of their runs.
Pairs = Mapping[tuple[str, str], Sequence[tuple[Run, Run]]]

#: Two models to kappa and its (B,) resamples.
Kappas = dict[tuple[str, str], tuple[float, np.ndarray]]


def condition_kappas(
    trials: Trials,
    models: Sequence[str],
    left_out: Mapping[str, Sequence[str]],
    resamples: int = 1000,
) -> dict[str, Kappas]:
    """Return the error consistency of every pair of models on every condition.

    Args:
        trials: From :func:`clip_mamba.tables.read_trials`.
        models: The models, in the order of the table.
        left_out: Levels that do not count, by condition.
        resamples: Number of resamples of objects.

    Returns:
        Condition to pairs of models; values are means over the seeds of both.
    """
    chosen = {name: [run for run in sorted(trials, key=str) if run[0] == name] for name in models}
    pairs = {
        (one, two): list(product(chosen[one], chosen[two])) for one, two in combinations(models, 2)
    }
    answers = {}
    for condition in dict.fromkeys(name for sets in trials.values() for name in sets):
        found = {run: sets[condition] for run, sets in trials.items() if condition in sets}
        kept = {run: included(table, condition, left_out) for run, table in found.items()}
        if len(next(iter(kept.values()))):
            answers[condition] = _aligned(kept)
    known = np.unique([name for objects, _ in answers.values() for name in objects])
    rng = generator(0, "error consistency")
    times = rng.multinomial(len(known), np.full(len(known), 1 / len(known)), size=resamples)
    return {
        condition: _kappas(right, pairs, times[:, np.searchsorted(known, objects)])
        for condition, (objects, right) in answers.items()
    }


def _aligned(kept: Mapping[Run, pd.DataFrame]) -> tuple[list[str], dict[Run, np.ndarray]]:
    """Return the (n,) objects of a condition's pictures, and what each run had right."""
    first = next(iter(kept.values()))
    keys = zip(first["condition"], first["imagename"].map(image_id), strict=True)
    objects = [base_image(name) for _, name in sorted(keys)]
    return objects, {run: align(first, own)[1].astype(float) for run, own in kept.items()}


def _kappas(right: Mapping[Run, np.ndarray], pairs: Pairs, times: np.ndarray) -> Kappas:
    """Return values and resamples of one condition, given how (B, n) often a picture counts."""
    shown = np.maximum(times.sum(1), 1)
    accuracy = {run: times @ own / shown for run, own in right.items()}
    found = {}
    for models, runs in pairs.items():
        values, drawn = [], []
        for one, two in ((a, b) for a, b in runs if a in right and b in right):
            same = (right[one] == right[two]).astype(float)
            values.append(_kappa(right[one].mean(), right[two].mean(), same.mean()))
            drawn.append(_kappa(accuracy[one], accuracy[two], times @ same / shown))
        if values:
            found[models] = float(np.mean(values)), np.mean(drawn, axis=0)
    return found


def _kappa(one: np.ndarray, two: np.ndarray, agreed: np.ndarray) -> np.ndarray:
    return paired(one, two, agreed)["error consistency"]
