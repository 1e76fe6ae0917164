"""Paired tests that the claims need beyond :func:`clip_mamba.statistics.paired_difference`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clip_mamba.claims.evidence import Scores
from clip_mamba.metrics import METRICS
from clip_mamba.seeding import generator
from clip_mamba.statistics import Difference, Units, bootstrap_difference, welch


def resampled_averages(
    tasks: Sequence[Scores], models: Sequence[str], *, seed: int = 0, resamples: int = 2000
) -> dict[str, np.ndarray]:
    """Return bootstrap draws of the average over tasks, the same examples for all models.

    Tasks that show the same things, as the same drawings asked for concept, subgroup and group,
    are resampled together; the others independently.

    Args:
        tasks: Scores by task; every one has all models.
        models: The models.
        seed: Seed of the resampling.
        resamples: Number of resamples.

    Returns:
        (resamples,) averages of each model, means over its seeds.
    """
    groups = _groups(tasks)
    rng = generator(seed, "paired", "mean over tasks")
    drawn = {model: np.empty(resamples) for model in models}
    chosen = [np.arange(len(task.labels)) for task in tasks]
    for number in range(resamples):
        for resampled, places in groups:
            draw = rng.integers(len(resampled[0]), size=len(resampled[0]))
            for place, units in zip(places, resampled, strict=True):
                chosen[place] = units.examples(draw)
        for model in models:
            drawn[model][number] = averages(tasks, model, chosen).mean()
    return drawn


def mean_over_tasks(
    tasks: Sequence[Scores], first: str, second: str, *, seed: int = 0
) -> tuple[Difference, float]:
    """Compare the averages of two models over tasks by a paired bootstrap.

    Args:
        tasks: Scores by task; every one has both models.
        first: The first model.
        second: The second model.
        seed: Seed of the resampling.

    Returns:
        First minus second, and how far the second's own 95 % interval reaches below its average.
    """
    whole = [np.arange(len(task.labels)) for task in tasks]
    runs = [averages(tasks, model, whole) for model in (first, second)]
    drawn = resampled_averages(tasks, [first, second], seed=seed)
    margin = float(runs[1].mean() - np.quantile(drawn[second], 0.025))
    method = f"paired bootstrap over {len(tasks)} tasks, {len(drawn[first])} resamples"
    return bootstrap_difference(runs, drawn[first] - drawn[second], method), margin


def _groups(tasks: Sequence[Scores]) -> list[tuple[list[Units], list[int]]]:
    """Return groups of tasks with the same units: how each resamples, and which tasks they are."""
    found: dict[tuple, tuple[list[Units], list[int]]] = {}
    for place, task in enumerate(tasks):
        units = Units(np.arange(len(task.labels)) if task.units is None else task.units)
        key = (place,) if task.units is None else ("units", *units.names)
        group = found.setdefault(key, ([], []))
        group[0].append(units)
        group[1].append(place)
    return list(found.values())


def averages(tasks: Sequence[Scores], model: str, chosen: Sequence[np.ndarray]) -> np.ndarray:
    """Return the average over tasks of a model.

    Args:
        tasks: Scores by task.
        model: The model.
        chosen: Indices of examples for each task, with repetitions.

    Returns:
        (seeds,) averages.
    """
    per_task = [
        [METRICS[t.metric].statistic(row[drawn], t.labels[drawn]) for row in t.by_model[model]]
        for t, drawn in zip(tasks, chosen, strict=True)
    ]
    return np.mean(per_task, axis=0)


def per_batch(first: np.ndarray, second: np.ndarray) -> Difference:
    """Compare a figure of the Hessian of two models on the same mini-batches by a paired t test.

    Args:
        first: (seeds, batches) of the first model.
        second: Likewise of the second.

    Returns:
        First minus second.

    Raises:
        ValueError: If the two were measured on different numbers of mini-batches, or on one.
    """
    batches = first.shape[1]
    if batches != second.shape[1] or batches < 2:
        raise ValueError(
            f"a paired t test needs the same two or more mini-batches: {batches} and "
            f"{second.shape[1]}"
        )
    difference = first.mean(0) - second.mean(0)
    runs = [first.mean(1), second.mean(1)]
    method = f"paired t over {batches} mini-batches"
    variance = float(difference.var(ddof=1) / batches)
    return welch(float(difference.mean()), variance, batches - 1, runs, method)


def ratio_per_batch(first: np.ndarray, second: np.ndarray) -> Difference:
    """Compare a positive figure of two models on the same mini-batches by the ratio of the two.

    Args:
        first: (seeds, batches) figures of the first model, above zero.
        second: (seeds, batches) figures of the second, on the same batches.

    Returns:
        First over second: the geometric mean, from a paired t test of the logarithms.
    """
    found = per_batch(np.log(first), np.log(second))
    value, low, high = np.exp([found.value, found.low, found.high]).tolist()
    return Difference(value, low, high, found.p, f"{found.method}, of logarithms")


def holm(p: Sequence[float]) -> list[float]:
    """Adjust p values for the number of tests (Holm 1979).

    Args:
        p: One per test.

    Returns:
        Adjusted values in the same order: testing them at 0.05 keeps the chance of any false
        rejection below 0.05.
    """
    adjusted, worst = [0.0] * len(p), 0.0
    for rank, place in enumerate(np.argsort(p, kind="stable")):
        worst = max(worst, min(1.0, (len(p) - rank) * p[place]))
        adjusted[place] = worst
    return adjusted
