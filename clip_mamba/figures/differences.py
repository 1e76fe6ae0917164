"""Mamba minus the ViT of its size: a row per data set, the mean below."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clip_mamba import style


def differences(data: pd.DataFrame, rows: Sequence[str], labels: Sequence[str]) -> Figure:
    """Draw differences of accuracy with their intervals.

    Args:
        data: ``row``, ``model``, ``other``, and the shares ``value``, ``low`` and ``high``.
        rows: The rows from top to bottom, that of the mean last.
        labels: What they are called.

    Returns:
        The figure; right of the line the model is ahead of the other.
    """
    models = style.ordered(data["model"])
    with style.context():
        figure, axes = plt.subplots(figsize=(style.TEXT_WIDTH, 0.24 * len(rows) + 1.0))
        for place, model in enumerate(models):
            own = data[data["model"] == model].set_index("row").reindex(list(rows))
            _points(axes, own, model, 0.5 * (place / max(1, len(models) - 1) - 0.5))
        axes.axvline(0, color=style.NEUTRAL, lw=0.9, zorder=1)
        axes.axhline(len(rows) - 1.5, color=style.NEUTRAL, lw=0.5)
        axes.set_yticks(range(len(rows)), labels)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlabel("difference of accuracy / percentage points")
        figure.legend(loc="outside lower center", ncols=min(3, len(models)))
    return figure


def _points(axes: Axes, own: pd.DataFrame, model: str, shift: float) -> None:
    numbers = 100 * own[["value", "low", "high"]].astype(float)
    look, other = style.look(model), own["other"].dropna().iloc[0]
    errors = [numbers["value"] - numbers["low"], numbers["high"] - numbers["value"]]
    axes.errorbar(
        numbers["value"], np.arange(len(own)) + shift, xerr=errors, color=look.colour,
        marker=look.marker, ls="", capsize=1.5, lw=1, markersize=4,
        label=f"{style.label(model)} minus {style.label(other)}",
    )  # fmt: skip
