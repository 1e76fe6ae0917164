"""Paired tests that the claims need beyond :func:`clip_mamba.statistics.paired_difference`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from clip_mamba.comparison import Scores, averages, resampled_averages
from clip_mamba.statistics import Difference, bootstrap_difference, welch


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
