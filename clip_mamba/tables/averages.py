"""Means over zero-shot tasks, of models and of the original report, as rows of the table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from clip_mamba import style
from clip_mamba.comparison import Scores, resampled_averages
from clip_mamba.comparison import averages as by_seed
from clip_mamba.statistics import Difference, bootstrap_difference
from clip_mamba.tables import seeds

#: How the interval of a mean is made.
METHOD = "percentile bootstrap of all tasks at once, {resamples} resamples"


def per_task(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of single tasks.

    Args:
        frame: From :func:`clip_mamba.tables.zeroshot`.

    Returns:
        The table without the means.
    """
    return frame[frame["task"] != ""]


def averages(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the means over tasks.

    Args:
        frame: From :func:`clip_mamba.tables.zeroshot`.

    Returns:
        A row per model, the baseline left out; ``tasks`` is the number of tasks of the mean.
    """
    return frame[frame["task"] == ""]


class Averages:
    """Means over the tasks that every model was measured on, resampled for all models at once.

    Attributes:
        common: Those tasks.
        models: The models whose predictions on all of them are kept.
    """

    def __init__(self, frame: pd.DataFrame, kept: Mapping[str, Scores]) -> None:
        """Resample the tasks.

        Args:
            frame: A row per task and model.
            kept: What models scored on each example, by task.
        """
        trained = frame[frame["model"] != style.BASELINE]
        measured = trained[trained["value"].notna()]
        counts = measured.groupby("task", sort=False)["model"].nunique()
        self.common = list(counts.index[counts == measured["model"].nunique()])
        # In the order of the predictions, as for claims: the draws depend on it.
        tasks = [scores for task, scores in kept.items() if task in self.common]
        complete = len(tasks) == len(self.common) > 0
        names = style.ordered(measured["model"]) if complete else []
        self.models = [name for name in names if all(name in task.by_model for task in tasks)]
        whole = [np.arange(len(task.labels)) for task in tasks]
        self._runs = {name: by_seed(tasks, name, whole) for name in self.models}
        self._drawn = resampled_averages(tasks, self.models) if self.models else {}

    @property
    def method(self) -> str:
        """How intervals are made."""
        return METHOD.format(resamples=len(next(iter(self._drawn.values()))))

    def estimate(self, model: str) -> seeds.Estimate:
        """Return a model's mean with its interval for examples and seeds.

        Args:
            model: One of ``models``.

        Returns:
            The estimate.
        """
        runs, drawn = self._runs[model], self._drawn[model]
        low, high = np.nanquantile(drawn, [0.025, 0.975]) - runs.mean()
        intervals = [(run + low, run + high) for run in runs]
        return seeds.combine([float(run) for run in runs], intervals, bounds=(0, 1))

    def difference(self, first: str, second: str) -> Difference:
        """Compare the means of two models on the same examples.

        Args:
            first: One of ``models``.
            second: Another.

        Returns:
            First minus second.
        """
        runs, drawn = [self._runs[first], self._runs[second]], self._drawn[first]
        method = f"paired bootstrap over {len(self.common)} tasks, {len(drawn)} resamples"
        return bootstrap_difference(runs, drawn - self._drawn[second], method)


def mean_rows(frame: pd.DataFrame, found: Averages) -> list[dict[str, Any]]:
    """Return the rows of means, with the report's over the same tasks.

    Args:
        frame: A row per task and model, with the report's numbers.
        found: The means.

    Returns:
        A row per model, the baseline left out. Models without any result have no value, and
        without kept predictions there is no interval. ``published`` is the report's mean over
        the same tasks, or over all of its tasks if nothing was measured.
    """
    trained = frame[frame["model"] != style.BASELINE]
    return [
        _mean_row(model, trained[trained["model"] == model], found)
        for model in style.ordered(trained["model"])
    ]


def _mean_row(model: str, own: pd.DataFrame, found: Averages) -> dict[str, Any]:
    shared = own[own["task"].isin(found.common)] if found.common else own
    known = model in found.models
    value = shared["value"].astype(float).mean() if found.common else float("nan")
    estimate = (
        found.estimate(model) if known else seeds.Estimate(None if np.isnan(value) else value)
    )
    theirs = shared["published"]
    return {
        "task": "",
        "title": "mean",
        "model": model,
        "image_parameters": own["image_parameters"].dropna().max(),
        "seeds": own["seeds"].max(),
        "tasks": len(found.common),
        **estimate.row(),
        "interval_method": found.method if known else None,
        "published": theirs.mean() if theirs.notna().all() and len(theirs) else None,
        "published_parameters": own["published_parameters"].dropna().max(),
        "reason": None if found.common else "no task has every model",
        "source": " ".join(filter(None, shared["source"])),
    }
