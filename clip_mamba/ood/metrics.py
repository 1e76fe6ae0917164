"""Metrics of one subject, and of two on the same stimuli.

Definitions: error consistency, Geirhos, Meding & Wichmann, "Beyond accuracy: quantifying
trial-by-trial behaviour of CNNs and humans by measuring error consistency", NeurIPS 2020; shape
bias, Geirhos et al., ICLR 2019. The averages over people and sets are in :mod:`.benchmark`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from clip_mamba.ood.trials import align, base_image, correct, image_id, texture_category
from clip_mamba.statistics import bootstrap_interval, mean_interval


def accuracy(trials: pd.DataFrame) -> float:
    """Return the share of right answers.

    Args:
        trials: The trials.

    Returns:
        A number in [0, 1].

    Raises:
        ValueError: If there is no trial.
    """
    if trials.empty:
        raise ValueError("no trial: accuracy is not defined")
    return float(correct(trials).mean())


def accuracy_difference(first: pd.DataFrame, second: pd.DataFrame) -> float:
    """Return the squared difference of two accuracies.

    Args:
        first: The trials of one subject.
        second: The trials of another.

    Returns:
        A number in [0, 1].
    """
    return (accuracy(first) - accuracy(second)) ** 2


def expected_consistency(first: float, second: float) -> float:
    """Return how often two independent observers are both right or both wrong.

    Args:
        first: Accuracy of one.
        second: Accuracy of the other.

    Returns:
        A number in [0, 1].
    """
    return first * second + (1 - first) * (1 - second)


def kappa(observed: float, expected: float) -> float:
    """Return Cohen's kappa: consistency beyond what accuracy alone explains.

    Args:
        observed: Share of trials on which both are right or both wrong.
        expected: The same for independent observers.

    Returns:
        1 for identical errors, 0 for independent ones, negative for opposed ones.
    """
    return 1.0 if observed == 1.0 else (observed - expected) / (1.0 - expected)


def consistency(first: pd.DataFrame, second: pd.DataFrame) -> dict[str, float]:
    """Return how consistently two subjects err.

    Args:
        first: The trials of one subject.
        second: The trials of another, on the same pictures.

    Returns:
        ``expected consistency``, ``observed consistency`` and ``error consistency``.
    """
    right = align(first, second)
    observed = float((right[0] == right[1]).sum() / len(right[0]))
    expected = expected_consistency(*(float(r.sum() / len(r)) for r in right))
    return {
        "expected consistency": expected,
        "observed consistency": observed,
        "error consistency": kappa(observed, expected),
    }


def shape_bias(trials: pd.DataFrame) -> dict[str, float]:
    """Return how often decisions follow shape rather than texture on cue-conflict stimuli.

    Args:
        trials: The trials; those whose texture is of the shape's category hold no conflict and
            count only in the denominators of the shares, as in the benchmark.

    Returns:
        ``shape`` and ``texture``, the shares of decisions for either cue, and ``shape bias`` =
        shape / (shape + texture), NaN if no decision followed a cue.
    """
    texture = trials["imagename"].map(texture_category)
    conflict = (texture != trials["category"]).to_numpy()
    shape = (conflict & correct(trials)).sum() / len(trials)
    other = (conflict & (trials["object_response"] == texture).to_numpy()).sum() / len(trials)
    bias = shape / (shape + other) if shape + other > 0 else float("nan")
    return {"shape": float(shape), "texture": float(other), "shape bias": float(bias)}


def shape_bias_interval(trials: pd.DataFrame, seed: int = 0) -> tuple[float, float] | None:
    """Return a 95 % bootstrap interval of the shape bias, drawing whole objects.

    Args:
        trials: The trials of one subject.
        seed: Seed of the bootstrap.

    Returns:
        Lower and upper bound; ``None`` if too few decisions followed a cue to tell.
    """
    texture = trials["imagename"].map(texture_category)
    conflict = (texture != trials["category"]).to_numpy()
    shape = conflict & correct(trials)
    other = conflict & (trials["object_response"] == texture).to_numpy()
    cued = np.flatnonzero(shape | other)
    if len(cued) < 2:
        return None
    objects = trials["imagename"].map(base_image).to_numpy()[cued]
    return mean_interval(shape[cued], objects, seed=seed)


def accuracy_interval(trials: pd.DataFrame, seed: int = 0) -> tuple[float, float]:
    """Return a 95 % bootstrap interval of the accuracy, drawing whole objects.

    Args:
        trials: The trials of one subject.
        seed: Seed of the bootstrap.

    Returns:
        Lower and upper bound.
    """
    return mean_interval(correct(trials), trials["imagename"].map(base_image), seed=seed)


def difference_interval(
    first: pd.DataFrame,
    second: pd.DataFrame,
    statistic: Callable[[np.ndarray, np.ndarray], float] | None = None,
    seed: int = 0,
) -> tuple[float, float]:
    """Return a 95 % bootstrap interval of a statistic of two subjects on the same pictures.

    Args:
        first: The trials of one subject.
        second: The trials of another.
        statistic: Of two arrays of right answers; the difference of accuracies, first minus
            second, if left out.
        seed: Seed of the bootstrap.

    Returns:
        Lower and upper bound.
    """
    one, two = align(first, second)
    key = zip(first["condition"], first["imagename"].map(image_id), strict=True)
    names = [name for _, name in sorted(key)]
    compute = statistic or (lambda a, b: float(a.mean() - b.mean()))
    return bootstrap_interval(
        lambda chosen: compute(one[chosen], two[chosen]),
        [base_image(name) for name in names],
        seed=seed,
    )


def consistency_matrix(trials: pd.DataFrame, metric: str = "error consistency") -> pd.DataFrame:
    """Return the consistency of every pair of subjects of a set.

    Args:
        trials: The trials of all subjects of one set.
        metric: A key of what :func:`consistency` returns.

    Returns:
        A symmetric table, subjects in the order of the trials, 1 on the diagonal.
    """
    subjects = list(dict.fromkeys(trials["subj"]))
    groups = {name: trials[trials["subj"] == name] for name in subjects}
    matrix = np.ones((len(subjects), len(subjects)))
    for i, first in enumerate(subjects):
        for j in range(i + 1, len(subjects)):
            value = consistency(groups[first], groups[subjects[j]])[metric]
            matrix[i, j] = matrix[j, i] = value
    return pd.DataFrame(matrix, index=subjects, columns=subjects)
