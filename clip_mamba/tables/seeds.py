"""Several pretraining seeds of a model, taken together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

#: How an interval over several seeds is made, for the tables' notes.
METHOD = (
    "mean over {n} seeds; the mean half-width of the seeds' own intervals and that of "
    "Student's t over the seeds are added in quadrature"
)


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; ``None`` where it is not known."""

    value: float | None
    low: float | None = None
    high: float | None = None
    seeds: int = 1
    reason: str | None = None

    def row(self) -> dict[str, float | None]:
        """Return the columns that every table shares.

        Returns:
            ``value``, ``low`` and ``high``.
        """
        return {"value": self.value, "low": self.low, "high": self.high}


Interval = Sequence[float] | None


def combine(
    values: Sequence[float | None],
    intervals: Sequence[Interval],
    reasons: Sequence[str | None] = (),
    bounds: tuple[float, float] | None = None,
) -> Estimate:
    """Return the mean over seeds with an interval for seeds and examples.

    All seeds are measured on the same examples, so averaging does not shrink what the choice of
    examples contributes: the seeds' own half-widths are averaged, not divided.

    Args:
        values: One per seed; ``None`` where it could not be measured.
        intervals: Each seed's own interval, if it has one.
        reasons: Why values are missing.
        bounds: The interval is cut to these, e.g. (0, 1) for shares.

    Returns:
        The estimate over the seeds that were measured; without any, the reasons.
    """
    known = [(v, i) for v, i in zip(values, intervals, strict=True) if v is not None]
    if not known:
        said = dict.fromkeys(reason for reason in reasons if reason)
        return Estimate(None, seeds=0, reason="; ".join(said) or "no result")
    numbers = np.asarray([v for v, _ in known], float)
    mean, n = float(numbers.mean()), len(numbers)
    within = [(v - i[0], i[1] - v) for v, i in known if i is not None]
    if not within and n == 1:
        return Estimate(mean, seeds=n)
    below, above = np.mean(within, axis=0) if within else (0.0, 0.0)
    between = float(stats.t.ppf(0.975, n - 1) * stats.sem(numbers)) if n > 1 else 0.0
    low, high = mean - float(np.hypot(below, between)), mean + float(np.hypot(above, between))
    if bounds is not None:
        low, high = max(low, bounds[0]), min(high, bounds[1])
    return Estimate(mean, low, high, n)
