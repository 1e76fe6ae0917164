"""Columns of the zero-shot table: Mamba minus the ViT of its size, on the same examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from clip_mamba.comparison import Scores, difference
from clip_mamba.statistics import Difference
from clip_mamba.tables.averages import Averages
from clip_mamba.tables.differences import matched
from clip_mamba.variants import variant

COLUMNS = ("task", "model", "other", "gain", "gain_low", "gain_high", "gain_p", "gain_method")


def gains(frame: pd.DataFrame, kept: Mapping[str, Scores], means: Averages) -> pd.DataFrame:
    """Compare each Mamba model with the ViT nearest in size, per task and on the mean.

    Args:
        frame: A row per task and model.
        kept: What models scored on each example, by task.
        means: The means over tasks.

    Returns:
        A row per task and Mamba model of the study's own recipe, with the columns ``COLUMNS``;
        ``other`` is the ViT, and the task of the mean is empty.
    """
    rows = []
    for mamba, vit in matched(_sizes(frame)).items():
        for task, scores in kept.items():
            if mamba in scores.by_model and vit in scores.by_model:
                rows.append(_row(task, mamba, vit, difference(scores, mamba, vit)))
        if mamba in means.models and vit in means.models:
            rows.append(_row("", mamba, vit, means.difference(mamba, vit)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _sizes(frame: pd.DataFrame) -> dict[str, float]:
    own = frame[~frame["model"].map(variant).astype(bool)]
    return own.groupby("model")["image_parameters"].max().dropna().to_dict()


def _row(task: str, mamba: str, vit: str, found: Difference) -> dict[str, Any]:
    return {
        "task": task, "model": mamba, "other": vit, "gain": found.value, "gain_low": found.low,
        "gain_high": found.high, "gain_p": found.p, "gain_method": found.method,
    }  # fmt: skip
