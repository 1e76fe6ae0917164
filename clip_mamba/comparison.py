"""Paired tests between models from the predictions that evaluations keep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from clip_mamba import style
from clip_mamba.metrics import METRICS
from clip_mamba.results import Result
from clip_mamba.seeding import generator
from clip_mamba.statistics import Difference, Units, paired_difference


@dataclass(frozen=True)
class Scores:
    """What several models scored on the same examples.

    Attributes:
        by_model: (seeds, n) scores of each model; missing models were not measured.
        units: (n,) what is drawn at once in a bootstrap; ``None`` for single examples.
        labels: (n,) classes, for metrics that need them.
        metric: The metric's name.
    """

    by_model: dict[str, np.ndarray]
    units: np.ndarray | None
    labels: np.ndarray
    metric: str = "top1"


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


def task_scores(results: Sequence[Result], predictions: Iterable[str | Path]) -> dict[str, Scores]:
    """Collect what models scored on each zero-shot task.

    Args:
        results: Results; those of kind ``zeroshot`` say what was measured.
        predictions: Parquet files ``.../{model}-{seed}/{task}.parquet``.

    Returns:
        Scores by task; what was not measured is left out.
    """
    measured = {
        (f"{r.model}-{r.seed}", r.task): r
        for r in results
        if r.kind == "zeroshot" and r.value is not None and r.model != style.BASELINE
    }
    files: dict[str, list[tuple[Result, Path]]] = {}
    for path in sorted(map(Path, predictions)):
        result = measured.get((path.parent.name, path.stem))
        if result is not None:
            files.setdefault(result.task, []).append((result, path))
    return {task: _of_a_task(own) for task, own in files.items()}


def _of_a_task(files: Sequence[tuple[Result, Path]]) -> Scores:
    scores, labels, units = read_scores([path for _, path in files])
    models = np.array([result.model for result, _ in files])
    by_model = {str(model): scores[models == model] for model in dict.fromkeys(models)}
    return Scores(by_model, units, labels, files[0][0].metric)


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
    by_model = {"first": scores[: len(first)], "second": scores[len(first) :]}
    return difference(Scores(by_model, units, labels, metric), "first", "second", seed=seed)


def difference(task: Scores, first: str, second: str, *, seed: int = 0) -> Difference:
    """Compare two models on one task, on the same examples.

    Args:
        task: Their scores.
        first: The first model.
        second: The second model.
        seed: Seed of the bootstrap.

    Returns:
        First minus second, with interval and p.
    """
    metric = METRICS[task.metric]

    def statistic(scores: np.ndarray, drawn: np.ndarray) -> float:
        return metric.statistic(scores[drawn], task.labels[drawn])

    return paired_difference(
        task.by_model[first],
        task.by_model[second],
        task.units,
        seed=seed,
        statistic=None if metric.is_mean else statistic,
    )


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
        for resampled, places in groups:
            draw = rng.integers(len(resampled[0]), size=len(resampled[0]))
            for place, units in zip(places, resampled, strict=True):
                chosen[place] = units.examples(draw)
        for model in models:
            drawn[model][number] = averages(tasks, model, chosen).mean()
    return drawn


def _groups(tasks: Sequence[Scores]) -> list[tuple[list[Units], list[int]]]:
    """Return groups of tasks with the same units: how each resamples, and which tasks they are."""
    found: dict[tuple, tuple[list[Units], list[int]]] = {}
    for place, task in enumerate(tasks):
        units = Units(np.arange(len(task.labels)) if task.units is None else task.units)
        key = (place,) if task.units is None else ("units", *units.names)
        group = found.setdefault(key, ([], []))
        group[0].append(units)
        group[1].append(place)
    return list(found.values())


def averages(tasks: Sequence[Scores], model: str, chosen: Sequence[np.ndarray]) -> np.ndarray:
    """Return the average over tasks of a model.

    Args:
        tasks: Scores by task.
        model: The model.
        chosen: Indices of examples for each task, with repetitions.

    Returns:
        (seeds,) averages; a single one where tasks have different numbers of seeds.
    """
    per_task = [
        [METRICS[t.metric].statistic(row[drawn], t.labels[drawn]) for row in t.by_model[model]]
        for t, drawn in zip(tasks, chosen, strict=True)
    ]
    if len(set(map(len, per_task))) > 1:  # some seed lacks some task
        per_task = [[float(np.mean(values))] for values in per_task]
    return np.mean(per_task, axis=0)
