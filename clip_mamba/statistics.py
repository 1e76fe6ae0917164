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
    units = Units(clusters)
    rng = generator(seed, "bootstrap")
    values = [
        statistic(units.examples(rng.integers(len(units), size=len(units))))
        for _ in range(resamples)
    ]
    return _percentiles(_defined(np.array(values)), level)


class Units:
    """Examples by the unit that a bootstrap draws at once: a cluster, or the example itself."""

    def __init__(self, labels: Sequence | np.ndarray) -> None:
        """Sort the examples by unit.

        Args:
            labels: (n,) the unit of each example.
        """
        self.names, self._unit = np.unique(np.asarray(labels), return_inverse=True)
        self.counts = np.bincount(self._unit)
        self._order = np.argsort(self._unit, kind="stable")
        self._first = np.cumsum(self.counts) - self.counts

    def __len__(self) -> int:
        """Return the number of units."""
        return len(self.counts)

    def examples(self, drawn: np.ndarray) -> np.ndarray:
        """Return the examples of drawn units, one unit after the other.

        Args:
            drawn: Numbers of units, with repetitions.

        Returns:
            Indices of examples.
        """
        counts = self.counts[drawn]
        ends = np.cumsum(counts)
        within = np.arange(ends[-1]) - np.repeat(ends - counts, counts)
        return self._order[np.repeat(self._first[drawn], counts) + within]

    def means(self, values: np.ndarray, rng: np.random.Generator, resamples: int) -> np.ndarray:
        """Return means over resampled units, without materialising the resamples.

        Args:
            values: (n,) one number per example.
            rng: Draws the units.
            resamples: Number of resamples.

        Returns:
            (resamples,) means.
        """
        totals = np.bincount(self._unit, weights=values)
        means = np.empty(resamples)
        for i in range(resamples):
            drawn = rng.integers(len(self), size=len(self))
            means[i] = totals[drawn].sum() / self.counts[drawn].sum()
        return means


def _defined(values: np.ndarray) -> np.ndarray:
    # Of few examples, a draw may hold one class only: an area under a curve is then undefined.
    known = values[~np.isnan(values)]
    return known if known.size else values


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
    units = Units(np.arange(values.size) if clusters is None else clusters)
    return _percentiles(units.means(values, generator(seed, "bootstrap"), resamples), level)


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
    drawn_by = Units(np.arange(first.shape[1]) if units is None else units)
    rng = generator(seed, "paired")
    if len(drawn_by) < 2:
        # One example, or cluster, says nothing of how far chance goes.
        value = float(first.mean() - second.mean())
        return Difference(value, np.nan, np.nan, 1.0, "a single example or cluster: no test")
    everything = np.arange(first.shape[1])
    if statistic is None:
        drawn = drawn_by.means(first.mean(0) - second.mean(0), rng, resamples)
        runs = [first.mean(1), second.mean(1)]
    else:
        drawn = _draws(statistic, (first, second), drawn_by, rng, resamples)
        runs = [
            np.array([statistic(row, everything) for row in model]) for model in (first, second)
        ]
    what = "examples" if units is None else "clusters"
    return bootstrap_difference(
        runs, drawn, f"paired bootstrap, {resamples} resamples of {what}", level
    )


def _draws(
    statistic: Callable[[np.ndarray, np.ndarray], float],
    models: tuple[np.ndarray, np.ndarray],
    units: Units,
    rng: np.random.Generator,
    resamples: int,
) -> np.ndarray:
    """Return the differences of a statistic over resampled units."""
    found = np.empty(resamples)
    for i in range(resamples):
        chosen = units.examples(rng.integers(len(units), size=len(units)))
        one, two = (np.mean([statistic(row, chosen) for row in model]) for model in models)
        found[i] = one - two
    return found


def bootstrap_difference(
    runs: Sequence[np.ndarray], drawn: np.ndarray, method: str, level: float = 0.95
) -> Difference:
    """Turn bootstrap draws of a difference into interval and p.

    Args:
        runs: (seeds,) values of each of the two models.
        drawn: (resamples,) differences, means over seeds.
        method: How the draws were made.
        level: Coverage.

    Returns:
        First minus second; see :func:`paired_difference`.
    """
    value = float(runs[0].mean() - runs[1].mean())
    drawn = _defined(drawn)
    if not np.isfinite(value):
        return Difference(value, np.nan, np.nan, 1.0, f"{method}; undefined")
    if max(map(len, runs)) > 1:
        return welch(value, float(drawn.var(ddof=1)), np.inf, runs, method, level)
    low, high = _percentiles(drawn, level)
    smaller = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    p = min(1.0, 2 * (smaller + 1) / (len(drawn) + 1))
    return Difference(value, low, high, p, method)


def welch(
    value: float,
    variance: float,
    freedom: float,
    runs: Sequence[np.ndarray],
    method: str,
    level: float = 0.95,
) -> Difference:
    """Return a t test whose variance is that over examples plus that over seeds.

    Args:
        value: The difference.
        variance: Its variance over examples or batches.
        freedom: The degrees of freedom of that variance.
        runs: (seeds,) values of each of the two models.
        method: How the variance came about.
        level: Coverage.

    Returns:
        The difference, with Satterthwaite's degrees of freedom.
    """
    from scipy import stats  # slow to import, and seldom needed

    parts = [(variance, freedom)]
    parts += [(float(run.var(ddof=1)) / len(run), len(run) - 1) for run in runs if len(run) > 1]
    total = sum(part for part, _ in parts)
    if total == 0:
        return Difference(value, value, value, float(value == 0), method)
    spread = sum(part**2 / free for part, free in parts)
    degrees = total**2 / spread if spread > 0 else np.inf
    half = float(stats.t.ppf((1 + level) / 2, degrees)) * total**0.5
    p = float(2 * stats.t.sf(abs(value) / total**0.5, degrees))
    if len(parts) > 1:
        counted = " and ".join(str(len(run)) for run in runs)
        method += f", and Welch's t over {counted} seeds"
    return Difference(value, value - half, value + half, p, method)
