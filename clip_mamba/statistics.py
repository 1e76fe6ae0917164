"""Intervals and paired tests by the bootstrap, over examples or over clusters of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
    members = _members(np.asarray(clusters))
    rng = generator(seed, "bootstrap")
    values = []
    for _ in range(resamples):
        drawn = rng.integers(len(members), size=len(members))
        values.append(statistic(np.concatenate([members[i] for i in drawn])))
    # Of few examples, a draw may hold one class only: an area under a curve is then undefined.
    return _percentiles([v for v in values if not np.isnan(v)] or values, level)


def _members(clusters: np.ndarray) -> list[np.ndarray]:
    """Return the examples of each cluster."""
    _, inverse = np.unique(clusters, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    return np.split(order, np.cumsum(np.bincount(inverse))[:-1])


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


@dataclass(frozen=True)
class Difference:
    """How much better one model is than another on the same examples."""

    #: First model minus second, in the metric's unit.
    value: float
    #: 95 % interval.
    low: float
    high: float
    #: Two-sided, of no difference.
    p: float
    #: How interval and p were made.
    method: str


def paired_difference(
    a: np.ndarray,
    b: np.ndarray,
    units: Sequence | np.ndarray | None = None,
    *,
    seed: int = 0,
    statistic: Callable[[np.ndarray, np.ndarray], float] | None = None,
    resamples: int = 2000,
    level: float = 0.95,
) -> Difference:
    """Compare two models on the same examples by a paired bootstrap.

    Both models are scored on the same resampled examples, so what is hard for both cancels. With
    one run of each model the interval is the bootstrap's percentiles and p twice the smaller
    share of resamples on either side of zero (Efron & Tibshirani 1993, chapters 13 and 15): the
    interval excludes zero exactly when p is below 1 - level, up to one resample. With several
    seeds the variance over seeds (Welch) is added to the bootstrap's, and interval and p are
    those of Student's t with Satterthwaite's degrees of freedom.

    Args:
        a: (n,) or (seeds, n) score of each example by the first model.
        b: Likewise by the second; the numbers of seeds may differ.
        units: (n,) the cluster of each example; ``None`` for independent examples.
        seed: Seed of the resampling.
        statistic: (scores (n,), example indices with repetitions) to the value, for example a
            mean over classes; ``None`` for the mean.
        resamples: Number of resamples.
        level: Coverage.

    Returns:
        The difference with its interval and p.

    Raises:
        ValueError: If there is no example, or the models were scored on different ones.
    """
    first, second = np.atleast_2d(a).astype(np.float64), np.atleast_2d(b).astype(np.float64)
    if first.shape[1] != second.shape[1] or (units is not None and len(units) != first.shape[1]):
        raise ValueError(
            f"a paired test needs the same examples: {first.shape[1]} and {second.shape[1]} "
            f"scores, {'no' if units is None else len(units)} units"
        )
    if first.shape[1] == 0:
        raise ValueError("no example to resample: the data set is empty")
    labels = np.arange(first.shape[1]) if units is None else np.asarray(units)
    everything = np.arange(first.shape[1])
    if statistic is None:
        drawn = _mean_draws(first.mean(0) - second.mean(0), labels, seed, resamples)
        runs = [first.mean(1), second.mean(1)]
    else:
        drawn = _draws(statistic, (first, second), labels, seed, resamples)
        runs = [
            np.array([statistic(row, everything) for row in model]) for model in (first, second)
        ]
    value = float(runs[0].mean() - runs[1].mean())
    what = "examples" if units is None else "clusters"
    method = f"paired bootstrap, {resamples} resamples of {what}"
    if max(map(len, runs)) == 1:
        low, high = _percentiles(drawn, level)
        smaller = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
        p = min(1.0, 2 * (smaller + 1) / (resamples + 1))
        return Difference(value, low, high, p, method)
    return _with_seeds(value, float(drawn.var(ddof=1)), runs, level, method)


def _mean_draws(values: np.ndarray, labels: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    """Return the means of ``values`` over resampled clusters."""
    _, inverse = np.unique(labels, return_inverse=True)
    totals, counts = np.bincount(inverse, weights=values), np.bincount(inverse)
    rng = generator(seed, "paired")
    means = np.empty(resamples)
    for i in range(resamples):
        drawn = rng.integers(totals.size, size=totals.size)
        means[i] = totals[drawn].sum() / counts[drawn].sum()
    return means


def _draws(
    statistic: Callable[[np.ndarray, np.ndarray], float],
    models: tuple[np.ndarray, np.ndarray],
    labels: np.ndarray,
    seed: int,
    resamples: int,
) -> np.ndarray:
    """Return the differences of a statistic over resampled clusters."""
    members = _members(labels)
    rng = generator(seed, "paired")
    found = np.empty(resamples)
    for i in range(resamples):
        drawn = rng.integers(len(members), size=len(members))
        chosen = np.concatenate([members[j] for j in drawn])
        one, two = (np.mean([statistic(row, chosen) for row in model]) for model in models)
        found[i] = one - two
    return found


def _with_seeds(
    value: float, examples: float, runs: list[np.ndarray], level: float, method: str
) -> Difference:
    """Return the difference with the variance over seeds added to that over examples."""
    from scipy import stats  # slow to import, and seldom needed

    several = [run for run in runs if len(run) > 1]
    parts = np.array([run.var(ddof=1) / len(run) for run in several])
    total = examples + parts.sum()
    spread = sum(part**2 / (len(run) - 1) for part, run in zip(parts, several, strict=True))
    freedom = total**2 / spread if spread > 0 else np.inf
    error = float(np.sqrt(total))
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * error
    p = float(2 * stats.t.sf(abs(value) / error, freedom)) if error > 0 else float(value == 0)
    counted = " and ".join(str(len(run)) for run in runs)
    return Difference(
        value, value - half, value + half, p, f"{method}, and Welch's t over {counted} seeds"
    )
