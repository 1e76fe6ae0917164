"""Paired tests that the claims need beyond :func:`clip_mamba.statistics.paired_difference`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from clip_mamba.claims.evidence import Scores
from clip_mamba.metrics import METRICS
from clip_mamba.seeding import generator
from clip_mamba.statistics import Difference


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
        for members, places in groups:
            draw = rng.integers(len(members[0]), size=len(members[0]))
            for place, own in zip(places, members, strict=True):
                chosen[place] = np.concatenate([own[i] for i in draw])
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
    return _combine(runs, drawn[first] - drawn[second], method), margin


def _groups(tasks: Sequence[Scores]) -> list[tuple[list[list[np.ndarray]], list[int]]]:
    """Return groups of tasks with the same units: the examples of each unit, and the tasks."""
    found: dict[tuple, tuple[list[list[np.ndarray]], list[int]]] = {}
    for place, task in enumerate(tasks):
        units = np.arange(len(task.labels)) if task.units is None else task.units
        names, inverse = np.unique(units, return_inverse=True)
        order = np.argsort(inverse, kind="stable")
        members = np.split(order, np.cumsum(np.bincount(inverse))[:-1])
        key = (place,) if task.units is None else ("units", *names)
        group = found.setdefault(key, ([], []))
        group[0].append(members)
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


def _combine(runs: Sequence[np.ndarray], drawn: np.ndarray, method: str) -> Difference:
    value = float(runs[0].mean() - runs[1].mean())
    if max(map(len, runs)) == 1:
        low, high = np.quantile(drawn, [0.025, 0.975])
        smaller = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
        p = min(1.0, 2 * (smaller + 1) / (len(drawn) + 1))
        return Difference(value, float(low), float(high), p, method)
    return welch(value, float(drawn.var(ddof=1)), np.inf, runs, method)


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


def welch(
    value: float, variance: float, freedom: float, runs: Sequence[np.ndarray], method: str
) -> Difference:
    """Return a t test whose variance is that over examples plus that over seeds.

    Args:
        value: The difference.
        variance: Its variance over examples or batches.
        freedom: The degrees of freedom of that variance.
        runs: (seeds,) values of each of the two models.
        method: How the variance came about.

    Returns:
        The difference, with Satterthwaite's degrees of freedom.
    """
    parts = [(variance, freedom)]
    parts += [(float(run.var(ddof=1)) / len(run), len(run) - 1) for run in runs if len(run) > 1]
    total = sum(part for part, _ in parts)
    if total == 0:
        return Difference(value, value, value, float(value == 0), method)
    spread = sum(part**2 / free for part, free in parts)
    degrees = total**2 / spread if spread > 0 else np.inf
    half = float(stats.t.ppf(0.975, degrees)) * total**0.5
    p = float(2 * stats.t.sf(abs(value) / total**0.5, degrees))
    if len(parts) > 1:
        method += f", and Welch's t over {' and '.join(str(len(run)) for run in runs)} seeds"
    return Difference(value, value - half, value + half, p, method)


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
