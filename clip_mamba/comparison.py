"""Paired tests between models from the predictions that evaluations keep."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from clip_mamba.metrics import METRICS
from clip_mamba.statistics import Difference, paired_difference


def read_scores(
    paths: Sequence[str | Path],
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Read what several runs scored on one task.

    Args:
        paths: Parquet files of their predictions.

    Returns:
        (runs, n) scores, (n,) class indices, and (n,) the unit of each example, or ``None``
        where examples are independent.

    Raises:
        ValueError: If the files are of different examples; the message names one.
    """
    frames = [pd.read_parquet(path) for path in paths]
    shared = [name for name in ("key", "label", "unit") if name in frames[0]]
    for path, frame in zip(paths, frames, strict=True):
        same = len(frame) == len(frames[0]) and set(shared) <= set(frame)
        if not same or not frame[shared].astype(str).equals(frames[0][shared].astype(str)):
            raise ValueError(f"{path} is not of the same examples as {paths[0]}")
    scores = np.stack([frame["score"].to_numpy(float) for frame in frames])
    units = frames[0]["unit"].astype(str).to_numpy() if "unit" in shared else None
    return scores, frames[0]["label"].to_numpy().astype(np.int64), units


def compare(
    first: Sequence[str | Path],
    second: Sequence[str | Path],
    metric: str = "top1",
    *,
    seed: int = 0,
) -> Difference:
    """Compare two models on one task, on the same examples.

    Args:
        first: Parquet files of the first model's predictions, one per seed
            (``results/<scale>/zeroshot/<model>-<seed>/<task>.parquet``).
        second: Likewise of the second model.
        metric: The task's metric, a name in :data:`clip_mamba.metrics.METRICS`.
        seed: Seed of the bootstrap.

    Returns:
        First minus second, with interval and p; clusters are drawn whole where the task has them.

    Raises:
        ValueError: If the metric is unknown, or files are of different examples.
    """
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; known: {', '.join(METRICS)}")
    scores, labels, units = read_scores([*first, *second])
    chosen = METRICS[metric]
    statistic = (
        None if chosen.is_mean else lambda row, drawn: chosen.statistic(row[drawn], labels[drawn])
    )
    return paired_difference(
        scores[: len(first)], scores[len(first) :], units, seed=seed, statistic=statistic
    )
