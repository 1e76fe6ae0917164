"""Out-of-distribution figures: curves, summary, error consistency."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clip_mamba import style
from clip_mamba.figures.legend import below
from clip_mamba.figures.save import message

_COLUMNS = 4


def ood_curves(frame: pd.DataFrame) -> Figure:
    """Draw accuracy against level, one panel per condition and one line per model.

    Args:
        frame: From :func:`clip_mamba.tables.ood`.

    Returns:
        The figure, with bands for 95 % intervals and chance dashed; conditions of one level
        show one point per model.
    """
    data = frame[(frame["quantity"] == "accuracy") & (frame["level"] != "")]
    data = data[data["value"].notna()]
    if data.empty:
        return message("no out-of-distribution result yet")
    conditions = list(dict.fromkeys(data["condition"]))
    models = style.ordered(data["model"])
    columns = min(_COLUMNS, len(conditions))
    rows = math.ceil(len(conditions) / columns)
    with style.context():
        figure, grid = plt.subplots(
            rows, columns, figsize=(style.TEXT_WIDTH, 1.5 * rows + 0.4), sharey=True, squeeze=False
        )
        for axes, condition in zip(grid.flat, conditions, strict=False):
            _panel(axes, data[data["condition"] == condition], models)
            axes.set_title(condition)
        for axes in grid.flat[len(conditions) :]:
            axes.set_axis_off()
        for axes in grid[:, 0]:
            axes.set_ylabel("accuracy / %")
        grid[0, 0].set_ylim(bottom=0)
        below(figure, models, {"chance": "--"})
    return figure


def _panel(axes: Axes, data: pd.DataFrame, models: list[str]) -> None:
    levels = list(dict.fromkeys(data["level"]))
    for place, model in enumerate(models):
        own = data[data["model"] == model].set_index("level").reindex(levels)
        look, percent = style.look(model), 100 * own[["value", "low", "high"]].astype(float)
        if len(levels) > 1:
            x = np.arange(len(levels))
            axes.plot(x, percent["value"], color=look.colour, marker=look.marker, ls=look.line)
            axes.fill_between(
                x, percent["low"], percent["high"], color=look.colour, alpha=0.13, lw=0
            )
        elif percent["value"].notna().all():
            value, low, high = percent.iloc[0]
            axes.errorbar(
                place, value, yerr=[[value - low], [high - value]], color=look.colour,
                marker=look.marker, capsize=1.5, lw=0.9,
            )  # fmt: skip
    if data["chance"].notna().any():
        axes.axhline(100 * data["chance"].max(), color=style.NEUTRAL, ls="--", lw=0.9, zorder=1)
    if len(levels) > 1:
        crowded = sum(map(len, levels)) > 14
        axes.set_xticks(np.arange(len(levels)), levels, rotation=45 if crowded else 0)
        axes.margins(x=0.06)
    else:
        axes.set_xticks([])
        axes.set_xlim(-0.7, len(models) - 0.3)


def ood_summary(frame: pd.DataFrame) -> Figure:
    """Draw each model's mean accuracy over the conditions and its shape bias.

    Args:
        frame: From :func:`clip_mamba.tables.ood`.

    Returns:
        Two panels with 95 % intervals.
    """
    panels = {"mean-accuracy": "mean OOD accuracy / %", "shape-bias": "shape bias / %"}
    models = style.ordered(frame["model"])
    if not frame[frame["quantity"].isin(panels)]["value"].notna().any():
        return message("no out-of-distribution result yet")
    with style.context():
        size = (style.TEXT_WIDTH, 0.26 * len(models) + 0.75)
        figure, row = plt.subplots(1, 2, figsize=size, sharey=True)
        for axes, (quantity, title) in zip(row, panels.items(), strict=True):
            own = frame[frame["quantity"] == quantity].set_index("model")
            for place, model in enumerate(models):
                _summary_point(axes, own.loc[model], place, model)
            axes.set_xlabel(title)
            axes.grid(axis="y", visible=False)
        chance = frame["chance"].dropna()
        if len(chance):
            row[0].axvline(100 * chance.max(), color=style.NEUTRAL, ls="--", lw=0.9)
            row[0].annotate(
                " chance", (100 * chance.max(), 1), xycoords=("data", "axes fraction"),
                va="top", fontsize=7, color=style.NEUTRAL,
            )  # fmt: skip
        row[0].set_yticks(range(len(models)), [style.label(model) for model in models])
        row[0].set_ylim(len(models) - 0.5, -0.5)
        row[1].set_xlim(0, 100)
    return figure


def _summary_point(axes: Axes, row: pd.Series, place: int, model: str) -> None:
    if pd.isna(row["value"]):
        axes.text(0.02, place, "not measured", va="center", fontsize=7, color=style.NEUTRAL,
                  transform=axes.get_yaxis_transform())  # fmt: skip
        return
    look, value = style.look(model), 100 * row["value"]
    errors = None
    if pd.notna(row["low"]):
        errors = [[max(0.0, value - 100 * row["low"])], [max(0.0, 100 * row["high"] - value)]]
    axes.errorbar(value, place, xerr=errors, color=look.colour, marker=look.marker, capsize=2, lw=1)


def consistency(frame: pd.DataFrame) -> Figure:
    """Draw the matrix of error consistencies between models, mean over conditions.

    Args:
        frame: From :func:`clip_mamba.tables.ood`, made with trials.

    Returns:
        A heat map of Cohen's kappa.
    """
    pairs = frame[(frame["quantity"] == "error-consistency") & (frame["condition"] == "")]
    if pairs.empty:
        return message("error consistency needs the trials of two models")
    names = style.ordered([*pairs["model"], *pairs["other"]])
    matrix = pd.DataFrame(np.nan, index=names, columns=names)
    for row in pairs.to_dict("records"):
        matrix.loc[row["model"], row["other"]] = row["value"]
        matrix.loc[row["other"], row["model"]] = row["value"]
    with style.context():
        side = min(style.TEXT_WIDTH, 0.55 * len(names) + 1.4)
        figure, axes = plt.subplots(figsize=(side, 0.8 * side))
        axes.grid(visible=False)
        sns.heatmap(
            matrix, ax=axes, annot=True, fmt=".2f", cmap="cividis", square=True, linewidths=0.8,
            vmin=min(0.0, float(np.nanmin(matrix))), vmax=max(0.5, float(np.nanmax(matrix))),
            annot_kws={"fontsize": 7}, cbar_kws={"label": "error consistency (kappa)"},
        )  # fmt: skip
        axes.set_xticklabels(axes.get_xticklabels(), rotation=40, ha="right")
        axes.tick_params(length=0)
    return figure
