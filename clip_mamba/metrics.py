"""Zero-shot metrics, each in two steps: a score per example, and the scores' statistic.

The scores are what predictions keep, so that a value, its interval and a paired test between
models are all computed from the same numbers, without logits and without a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Scorer = Callable[[np.ndarray, np.ndarray], np.ndarray]
Statistic = Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True)
class Metric:
    """A metric of (logits (n, n_classes), labels (n,)) with values in [0, 1]."""

    #: (logits, labels) -> (n,) score of each example.
    score: Scorer
    #: (scores (n,), labels (n,)) -> the value.
    statistic: Statistic

    def __call__(self, logits: np.ndarray, labels: np.ndarray) -> float:
        """Return the value.

        Args:
            logits: (n, n_classes) similarity of each example with each class.
            labels: (n,) class indices.

        Returns:
            A number in [0, 1]; NaN where the metric is not defined.
        """
        return self.statistic(self.score(logits, labels), labels)

    @property
    def is_mean(self) -> bool:
        """Whether the value is the plain mean of the scores."""
        return self.statistic is mean


def mean(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean over examples.

    Args:
        scores: (n,) scores.
        labels: Ignored.

    Returns:
        The mean.
    """
    return float(np.mean(scores, dtype=np.float64))


def class_mean(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean over the classes present of the mean within the class.

    Args:
        scores: (n,) scores.
        labels: (n,) class indices.

    Returns:
        The mean.
    """
    totals, counts = np.bincount(labels, weights=scores), np.bincount(labels)
    return float(np.mean(totals[counts > 0] / counts[counts > 0]))


def area(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the area under the ROC curve, by the Mann-Whitney statistic (ties count half).

    Args:
        scores: (n,) higher for class 1.
        labels: (n,) 0 or 1.

    Returns:
        Area in [0, 1]; NaN when only one class is present.
    """
    from scipy.stats import rankdata  # takes longer to import than a small task to score

    positive = labels == 1
    ones, zeros = int(positive.sum()), int((~positive).sum())
    if not ones or not zeros:
        return float("nan")
    ranks = rankdata(scores)
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def _first(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return (logits.argmax(1) == labels).astype(np.float32)


def _first_and_five(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    own = np.take_along_axis(logits, labels[:, None], axis=1)
    # Of equals the first comes first, as for the other metrics: a model that tells nothing apart
    # scores chance.
    before = np.arange(logits.shape[1]) < labels[:, None]
    rank = ((logits > own) | ((logits == own) & before)).sum(1)
    return ((rank < 1).astype(np.float32) + (rank < 5)) / 2


def _difference(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    if logits.shape[1] != 2:
        raise ValueError(f"roc_auc needs two classes, not {logits.shape[1]}")
    return (logits[:, 1] - logits[:, 0]).astype(np.float32)


#: Metric by name, as task tables spell it. ``mean_top1_top5`` is that of Kinetics-700 in CLIP's
#: paper; ``roc_auc`` that of Hateful Memes: class 1 against class 0.
METRICS: dict[str, Metric] = {
    "top1": Metric(_first, mean),
    "mean_per_class": Metric(_first, class_mean),
    "mean_top1_top5": Metric(_first_and_five, mean),
    "roc_auc": Metric(_difference, area),
}
