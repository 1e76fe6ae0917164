"""Confidence intervals by the bootstrap, over examples or over clusters of them."""

from collections.abc import Callable, Sequence

import numpy as np

from clip_mamba.seeding import generator

#: How the intervals of :func:`bootstrap_interval` are described in a result.
METHOD = "percentile bootstrap, {resamples} resamples of {units}"


def bootstrap_interval(
    statistic: Callable[[np.ndarray], float],
    clusters: Sequence | np.ndarray,
    *,
    seed: int = 0,
    resamples: int = 1000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Return a percentile bootstrap interval of a statistic of examples.

    Whole clusters are drawn with replacement, since pictures of one object in several
    styles, or several composites of one object, do not err independently (Field & Welsh 2007).

    Args:
        statistic: Takes an integer array of example indices (with repetitions), gives a number.
        clusters: (n,) the cluster of each example; all different for a plain bootstrap.
        seed: Seed of the resampling.
        resamples: Number of resamples.
        level: Coverage.

    Returns:
        Lower and upper bound.

    Raises:
        ValueError: If there is no example.
    """
    if len(clusters) == 0:
        raise ValueError("no example to resample: the data set is empty")
    _, inverse = np.unique(np.asarray(clusters), return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(inverse))[:-1])
    rng = generator(seed, "bootstrap")
    values = []
    for _ in range(resamples):
        drawn = rng.integers(len(members), size=len(members))
        values.append(statistic(np.concatenate([members[i] for i in drawn])))
    return _percentiles(values, level)


def mean_interval(
    values: np.ndarray,
    clusters: Sequence | np.ndarray | None = None,
    *,
    seed: int = 0,
    resamples: int = 1000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Return the bootstrap interval of a mean, without materialising the resamples.

    Args:
        values: (n,) one number per example, for example whether it was classified correctly.
        clusters: (n,) the cluster of each example; ``None`` for a plain bootstrap.
        seed: Seed of the resampling.
        resamples: Number of resamples.
        level: Coverage.

    Returns:
        Lower and upper bound.

    Raises:
        ValueError: If there is no example.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.size == 0:
        raise ValueError("no example to resample: the data set is empty")
    labels = np.arange(values.size) if clusters is None else np.asarray(clusters)
    _, inverse = np.unique(labels, return_inverse=True)
    totals, counts = np.bincount(inverse, weights=values), np.bincount(inverse)
    rng = generator(seed, "bootstrap")
    means = np.empty(resamples)
    for i in range(resamples):
        drawn = rng.integers(totals.size, size=totals.size)
        means[i] = totals[drawn].sum() / counts[drawn].sum()
    return _percentiles(means, level)


def _percentiles(values: Sequence[float] | np.ndarray, level: float) -> tuple[float, float]:
    """Return the bounds between which the share ``level`` of the values lies."""
    tail = (1 - level) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)
