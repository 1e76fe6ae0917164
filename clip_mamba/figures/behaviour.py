"""Out-of-distribution figures of behaviour: consistency, shape bias, Mamba against ViT."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clip_mamba import style
from clip_mamba.figures.differences import differences
from clip_mamba.figures.legend import below
from clip_mamba.figures.save import message
from clip_mamba.tables.cues import FEW

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
        width = 0.7 * style.TEXT_WIDTH
        figure, axes = plt.subplots(figsize=(width, min(width, 0.5 * len(names) + 0.9)))
        axes.grid(visible=False)
        sns.heatmap(
            matrix, ax=axes, annot=_annotations(pairs, matrix), fmt="", cmap="cividis",
            linewidths=0.8, vmin=min(0.0, float(np.nanmin(matrix))),
            vmax=max(0.5, float(np.nanmax(matrix))), annot_kws={"fontsize": 6.5},
            cbar_kws={"label": "error consistency (kappa)"},
        )  # fmt: skip
        axes.set_xticklabels(axes.get_xticklabels(), rotation=30, ha="right")
        axes.set_yticklabels(axes.get_yticklabels(), rotation=0)
        axes.tick_params(length=0)
    return figure


def _annotations(pairs: pd.DataFrame, matrix: pd.DataFrame) -> pd.DataFrame:
    """Return kappa as text, on one side of the diagonal with its interval."""
    texts = matrix.map(lambda value: "" if pd.isna(value) else f"{value:.2f}")
    for row in pairs.to_dict("records"):
        if pd.notna(row.get("low")):
            bounds = f"[{row['low']:.2f}, {row['high']:.2f}]"
            texts.loc[row["other"], row["model"]] += f"\n{bounds}"
    return texts


def shape_bias(frame: pd.DataFrame) -> Figure:
    """Draw the shape bias of every model in every category, and over all categories.

    Args:
        frame: From :func:`clip_mamba.tables.ood`.

    Returns:
        Categories down, texture on the left and shape on the right, below the bias over all with
        95 % intervals. Marks grow with the decisions that they stand for; nothing is drawn for
        fewer than ``FEW``, and a category without any mark is left out. People, where there are
        any, are grey stars, with the range over persons.
    """
    points = _biases(frame)
    if points.empty:
        return message(f"no model decided for shape or texture {FEW} times")
    rows = [*sorted(set(points["level"]) - {""}), ""]
    models = style.ordered(set(points["model"]) - {_PEOPLE})
    with style.context():
        size = (0.7 * style.TEXT_WIDTH, 0.2 * len(rows) + 1.5)
        figure, axes = plt.subplots(figsize=size)
        for place, model in enumerate(models):
            shift = 0.6 * (place / max(1, len(models) - 1) - 0.5)
            look = style.look(model)
            _points(axes, points[points["model"] == model], rows, shift, look.colour, look.marker)
        _points(axes, points[points["model"] == _PEOPLE], rows, 0, style.NEUTRAL, "*")
        axes.axvline(50, color=style.NEUTRAL, ls=":", lw=0.9, zorder=1)
        axes.axhline(len(rows) - 1.4, color=style.NEUTRAL, lw=0.5)
        axes.set_yticks([*range(len(rows) - 1), len(rows) - 0.4], [*rows[:-1], "all categories"])
        axes.set_ylim(len(rows) + 0.6, -0.6)
        axes.set_xlim(-3, 103)
        axes.set_xlabel("decisions for shape among those for shape or texture / %")
        below(figure, models, {"no preference": ":"}, most=3)
        _sizes(axes, points["decisions"].max())
    return figure


def _biases(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the shape biases of models and people that rest on enough decisions."""
    bias = frame[frame["quantity"].isin(["shape-bias", "people-shape-bias"])]
    rests = frame[frame["quantity"].isin(["shape-decisions", "people-shape-decisions"])]
    counts = rests[["model", "level", "value"]].rename(columns={"value": "decisions"})
    both = bias.merge(counts, on=["model", "level"])
    return both[both["value"].notna() & (both["decisions"].astype(float) >= FEW)]


def _points(
    axes: Axes, own: pd.DataFrame, rows: list[str], shift: float, colour: str, marker: str
) -> None:
    for row in own.to_dict("records"):
        place, value = rows.index(row["level"]) + shift, 100 * row["value"]
        if row["level"] == "":
            place += 0.6 + 1.5 * shift  # intervals need a wider row
            axes.hlines(place, 100 * row["low"], 100 * row["high"], color=colour, lw=1)
        axes.scatter(
            value, place, s=_area(row["decisions"]), color=colour, marker=marker, lw=0, zorder=3
        )


def _area(decisions: float) -> float:
    """Return the area of a mark in square points, in proportion to the decisions up to twenty."""
    return 2.5 * min(decisions, 20)


def _sizes(axes: Axes, most: float) -> None:
    """Say by a second legend how many decisions a mark stands for."""
    labels = {FEW: str(FEW), 10: "10", 20: "20 or more"}
    handles = [
        axes.scatter([], [], s=_area(number), color=style.NEUTRAL, lw=0, label=label)
        for number, label in labels.items()
        if number <= most
    ]
    axes.legend(
        handles=handles, title="decisions", title_fontsize=7, loc="upper left",
        bbox_to_anchor=(1, 1),
    )  # fmt: skip


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
    conditions = [name for name in dict.fromkeys(data["condition"]) if name] + [""]
    labels = [*conditions[:-1], "mean of the shifts"]
    return differences(data.assign(row=data["condition"]), conditions, labels)
