"""Out-of-distribution figures of accuracy: curves, one condition, summary."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
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
        The figure, with bars for 95 % intervals, shifted sideways so that none hides another, and
        chance dashed; conditions of one level show one point per model. People, where there are
        any, are a grey band from the least to the most accurate person with their mean.
    """
    data = frame[(frame["quantity"] == "accuracy") & (frame["level"] != "")]
    data = data[data["value"].notna()]
    if data.empty:
        return message("no out-of-distribution result yet")
    conditions = list(dict.fromkeys(data["condition"]))
    models = style.ordered(data["model"])
    crowd = _people(frame)
    columns = min(_COLUMNS, len(conditions))
    rows = math.ceil(len(conditions) / columns)
    with style.context():
        figure, grid = plt.subplots(
            rows, columns, figsize=(style.TEXT_WIDTH, 1.5 * rows + 0.4), sharey=True, squeeze=False
        )
        for axes, condition in zip(grid.flat, conditions, strict=False):
            own = crowd[crowd["condition"] == condition]
            _panel(axes, data[data["condition"] == condition], models, own)
            axes.set_title(condition)
        for axes in grid.flat[len(conditions) :]:
            axes.set_axis_off()
        for axes in grid[:, 0]:
            axes.set_ylabel("accuracy / %")
        grid[0, 0].set_ylim(bottom=0)
        below(figure, models, {"chance": "--"} | ({"people": ":"} if len(crowd) else {}))
    return figure


def ood_condition(frame: pd.DataFrame, condition: str) -> Figure:
    """Draw accuracy against level on one condition.

    Args:
        frame: From :func:`clip_mamba.tables.ood`.
        condition: The condition.

    Returns:
        The panel of :func:`ood_curves`, large.
    """
    data = frame[(frame["quantity"] == "accuracy") & (frame["level"] != "")]
    data = data[data["value"].notna() & (data["condition"] == condition)]
    if data.empty:
        return message(f"no result on {condition} yet")
    models, crowd = style.ordered(data["model"]), _people(frame)
    crowd = crowd[crowd["condition"] == condition]
    with style.context():
        figure, axes = plt.subplots(figsize=(0.7 * style.TEXT_WIDTH, 3.0))
        _panel(axes, data, models, crowd)
        axes.set_title(condition)
        axes.set_xlabel("level" if data["level"].nunique() > 1 else "")
        axes.set_ylabel("accuracy / %")
        axes.set_ylim(bottom=0)
        below(figure, models, {"chance": "--"} | ({"people": ":"} if len(crowd) else {}))
    return figure


def _people(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[(frame["quantity"] == "people-accuracy") & (frame["level"] != "")]


def _band(axes: Axes, crowd: pd.DataFrame, levels: list[str]) -> None:
    """Draw people: their mean dotted, grey from the least to the most accurate."""
    own = crowd.set_index("level")[["value", "low", "high"]].astype(float).reindex(levels) * 100
    if own.empty or own.isna().all(axis=None):
        return
    if len(levels) > 1:
        x = np.arange(len(levels))
        axes.plot(x, own["value"], color=style.NEUTRAL, ls=":", lw=1.2, zorder=1)
        axes.fill_between(x, own["low"], own["high"], color=style.NEUTRAL, alpha=0.18, lw=0)
    else:
        axes.axhspan(own["low"].iloc[0], own["high"].iloc[0], color=style.NEUTRAL, alpha=0.18, lw=0)
        axes.axhline(own["value"].iloc[0], color=style.NEUTRAL, ls=":", lw=1.2, zorder=1)


def _panel(axes: Axes, data: pd.DataFrame, models: list[str], crowd: pd.DataFrame) -> None:
    levels = list(dict.fromkeys(data["level"]))
    _band(axes, crowd, levels)
    for place, model in enumerate(models):
        own = data[data["model"] == model].set_index("level").reindex(levels)
        percent = 100 * own[["value", "low", "high"]].astype(float)
        shift = place / max(1, len(models) - 1) - 0.5
        # As far apart in all panels, whatever the number of levels.
        x = np.arange(len(levels)) + (0.09 * len(levels) * shift if len(levels) > 1 else place)
        errors = [percent["value"] - percent["low"], percent["high"] - percent["value"]]
        look = style.look(model)
        axes.errorbar(
            x, percent["value"], yerr=np.maximum(errors, 0), color=look.colour,
            marker=look.marker, ls=look.line, lw=0.8, elinewidth=0.6, markersize=3.2,
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
    models = style.ordered(frame[frame["quantity"].isin(panels)]["model"])
    if not frame[frame["quantity"].isin(panels)]["value"].notna().any():
        return message("no out-of-distribution result yet")
    with style.context():
        size = (style.TEXT_WIDTH, 0.26 * len(models) + 0.75)
        figure, row = plt.subplots(1, 2, figsize=size, sharey=True)
        for axes, (quantity, title) in zip(row, panels.items(), strict=True):
            own = frame[(frame["quantity"] == quantity) & (frame["level"] == "")].set_index("model")
            for place, model in enumerate(models):
                _summary_point(axes, own.loc[model], place, model)
            axes.set_xlabel(title)
            axes.grid(axis="y", visible=False)
        chance = frame["chance"].dropna()
        marks = [(row[0], 100 * chance.max(), "--", "chance")] if len(chance) else []
        for axes, place, kind, text in [*marks, (row[1], 50, ":", "no preference")]:
            axes.axvline(place, color=style.NEUTRAL, ls=kind, lw=0.9, zorder=1)
            axes.annotate(
                text, (place, 1), (2, 1), xycoords=("data", "axes fraction"),
                textcoords="offset points", va="bottom", fontsize=7, color=style.NEUTRAL,
            )  # fmt: skip
        row[0].set_yticks(range(len(models)), [style.label(model) for model in models])
        row[0].set_ylim(len(models) - 0.5, -0.5)
        row[0].set_xlim(left=0)
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
