"""Bootstrap intervals of the benchmark's headline numbers.

Symbols: B resamples; n pictures of a level; s subjects. Pictures are drawn with replacement
within each level of each set, the same draw for all subjects, since all saw the same pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from clip_mamba.corruptions.levels import EXCLUDED_LEVELS
from clip_mamba.ood.benchmark import included
from clip_mamba.ood.trials import HUMAN, correct
from clip_mamba.seeding import generator

#: The metrics of pairs that have intervals.
CONSISTENCIES = ("observed consistency", "error consistency")

Intervals = dict[str, dict[str, tuple[float, float]]]


def benchmark_intervals(
    trials: Mapping[str, pd.DataFrame],
    excluded: Mapping[str, Sequence[str]] = EXCLUDED_LEVELS,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Intervals:
    """Return 95 % intervals of what :func:`clip_mamba.ood.benchmark.benchmark` returns.

    There is none of the accuracy difference: being a square, it grows by its own variance in
    every resample, so that percentiles lie too high.

    Args:
        trials: The trials of all subjects, by set; on each set all saw the same pictures.
        excluded: Left-out levels by set.
        resamples: Number of resamples.
        seed: Of the bootstrap.

    Returns:
        Model (people: ``humans``) to metric to lower and upper bound.
    """
    sums: dict[tuple[str, str], np.ndarray] = {}
    for name, table in trials.items():
        rng = generator(seed, "benchmark", name)
        for key, values in _one_set(included(table, name, excluded), resamples, rng).items():
            sums[key] = sums.get(key, np.zeros(resamples)) + values / len(trials)
    found: Intervals = {}
    for (subject, metric), values in sums.items():
        low, high = np.quantile(values, [0.025, 0.975])
        found.setdefault(subject, {})[metric] = (float(low), float(high))
    return found


def _one_set(
    trials: pd.DataFrame, resamples: int, rng: np.random.Generator
) -> dict[tuple[str, str], np.ndarray]:
    """Return each model's resampled values on one set, levels and people averaged."""
    right = trials.assign(right=correct(trials)).pivot_table(
        index=["condition", "image_id"], columns="subj", values="right", aggfunc="first"
    )
    people = [str(name) for name in right.columns if str(name).startswith(HUMAN)]
    models = [str(name) for name in right.columns if str(name) not in people]
    totals = {name: np.zeros(resamples) for name in right.columns}
    pairs = {model: [(model, human) for human in people] for model in models}
    pairs["humans"] = [(one, two) for i, one in enumerate(people) for two in people[i + 1 :]]
    values = {(name, metric): np.zeros(resamples) for name in pairs for metric in CONSISTENCIES}
    levels = [own for _, own in right.groupby(level="condition")]
    for own in levels:
        n = len(own)
        weights = rng.multinomial(n, np.full(n, 1 / n), size=resamples)  # (B, n)
        answers = {name: own[name].to_numpy(dtype=float) for name in own}
        accuracy = {name: weights @ answer / n for name, answer in answers.items()}  # (B,)
        for name, value in accuracy.items():
            totals[name] += value * n / len(right)
        for subject, own_pairs in pairs.items():
            for one, two in own_pairs:
                share = 1 / (len(own_pairs) * len(levels))
                agreed = weights @ (answers[one] == answers[two]) / n
                for metric, value in paired(accuracy[one], accuracy[two], agreed).items():
                    values[subject, metric] += share * value
    values |= {(model, "OOD accuracy"): totals[model] for model in models}
    values["humans", "OOD accuracy"] = np.mean([totals[human] for human in people], axis=0)
    return values


def paired(one: np.ndarray, two: np.ndarray, observed: np.ndarray) -> dict[str, np.ndarray]:
    """Return the metrics of a pair from (B,) accuracies and agreement.

    Args:
        one: Accuracies of one subject.
        two: Accuracies of the other.
        observed: Shares of trials on which both are right or both wrong.

    Returns:
        The metrics of ``CONSISTENCIES``, as :func:`clip_mamba.ood.metrics.consistency` has them.
    """
    expected = one * two + (1 - one) * (1 - two)
    with np.errstate(divide="ignore", invalid="ignore"):
        kappa = np.where(observed == 1, 1.0, (observed - expected) / (1 - expected))
    return dict(zip(CONSISTENCIES, (observed, kappa), strict=True))
