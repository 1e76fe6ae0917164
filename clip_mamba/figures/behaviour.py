"""Out-of-distribution figures of behaviour: consistency, shape bias, Mamba against ViT."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clip_mamba import style
from clip_mamba.figures.legend import below
from clip_mamba.figures.save import message

#: How people are called in the frame.
_PEOPLE = "people"


def consistency(frame: pd.DataFrame) -> Figure:
    """Draw the matrix of error consistencies, mean over conditions.

    Args:
        frame: From :func:`clip_mamba.tables.ood`, made with trials.

    Returns:
        A heat map of Cohen's kappa of models and, where there are any, people: their diagonal
        is the mean over pairs of people, the ceiling.
    """
    wanted = frame["quantity"].isin(["error-consistency", "human-consistency"])
    pairs = frame[wanted & (frame["condition"] == "")]
    if not pairs["value"].notna().any():
        return message("error consistency needs the trials of two models")
    found = {*pairs["model"], *pairs["other"]}
    names = style.ordered(found - {_PEOPLE}) + [_PEOPLE] * (_PEOPLE in found)
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


def shape_bias(frame: pd.DataFrame) -> Figure:
    """Draw the shape bias of every model in every category, the mean as a vertical line.

    Args:
        frame: From :func:`clip_mamba.tables.ood`.

    Returns:
        Categories down, texture on the left and shape on the right. A category in which a model
        followed neither cue has no point; people, where there are any, are grey diamonds.
    """
    own = frame[(frame["quantity"] == "shape-bias") & frame["value"].notna()]
    parts = own[own["level"] != ""]
    if parts.empty:
        return message("no decision on cue-conflict pictures yet")
    models, categories = style.ordered(own["model"]), sorted(parts["level"].unique())
    crowd = frame[frame["quantity"] == "people-shape-bias"]
    with style.context():
        size = (style.TEXT_WIDTH, 0.24 * len(categories) + 1.0)
        figure, axes = plt.subplots(figsize=size)
        for place, model in enumerate(models):
            shift = 0.6 * (place / max(1, len(models) - 1) - 0.5)
            look = style.look(model)
            _points(axes, own[own["model"] == model], categories, shift, look.colour, look.marker)
        if len(crowd):
            _points(axes, crowd, categories, 0, style.NEUTRAL, "D", ":")
        axes.axvline(50, color=style.NEUTRAL, ls="--", lw=0.9, zorder=1)
        axes.set_yticks(range(len(categories)), categories)
        axes.set_ylim(len(categories) - 0.4, -0.6)
        axes.set_xlim(-3, 103)
        axes.set_xlabel("decisions for shape among those for shape or texture / %")
        below(figure, models, {"as often either": "--"} | ({"people": ":"} if len(crowd) else {}))
    return figure


def _points(
    axes: Axes,
    own: pd.DataFrame,
    categories: list[str],
    shift: float,
    colour: str,
    marker: str,
    line: str = "-",
) -> None:
    values = own.set_index("level")["value"].astype(float) * 100
    if "" in values:
        axes.axvline(values[""], color=colour, ls=line, lw=1.0, alpha=0.7, zorder=1)
    shown = values.reindex(categories)
    rows = np.arange(len(categories)) + shift
    axes.plot(shown, rows, color=colour, marker=marker, ls="", markersize=4)


def ood_difference(frame: pd.DataFrame) -> Figure:
    """Draw what each Mamba model gains on, or loses to, the ViT of its size, per condition.

    Args:
        frame: From :func:`clip_mamba.tables.ood`, made with trials.

    Returns:
        Conditions down, the mean over the shifts below; points with paired 95 % intervals. Right
        of the line Mamba is ahead.
    """
    data = frame[(frame["quantity"] == "difference") & frame["value"].notna()]
    if data.empty:
        return message("the comparison needs the trials of a Mamba model and a ViT")
    models = style.ordered(data["model"])
    conditions = [name for name in dict.fromkeys(data["condition"]) if name] + [""]
    with style.context():
        size = (style.TEXT_WIDTH, 0.24 * len(conditions) + 1.0)
        figure, axes = plt.subplots(figsize=size)
        for place, model in enumerate(models):
            own = data[data["model"] == model].set_index("condition").reindex(conditions)
            numbers = 100 * own[["value", "low", "high"]].astype(float)
            rows = np.arange(len(conditions)) + 0.5 * (place / max(1, len(models) - 1) - 0.5)
            look, other = style.look(model), own["other"].dropna().iloc[0]
            errors = [numbers["value"] - numbers["low"], numbers["high"] - numbers["value"]]
            axes.errorbar(
                numbers["value"], rows, xerr=errors, color=look.colour, marker=look.marker, ls="",
                capsize=1.5, lw=1, markersize=4, label=f"{model} minus {style.label(other)}",
            )  # fmt: skip
        axes.axvline(0, color=style.NEUTRAL, lw=0.9, zorder=1)
        axes.axhline(len(conditions) - 1.5, color=style.NEUTRAL, lw=0.5)
        axes.set_yticks(range(len(conditions)), [*conditions[:-1], "mean of the shifts"])
        axes.set_ylim(len(conditions) - 0.4, -0.6)
        axes.set_xlabel("difference of accuracy / percentage points")
        figure.legend(loc="outside lower center", ncols=min(3, len(models)))
    return figure
