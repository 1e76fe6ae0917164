"""Zero-shot accuracy against the size of the image tower."""

from __future__ import annotations

import math
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from clip_mamba import style
from clip_mamba.figures.differences import differences
from clip_mamba.figures.legend import below, handle
from clip_mamba.figures.save import message
from clip_mamba.tables.averages import averages, per_task

#: Inches that panels may take on a page with its caption.
TALLEST = 7.6
#: The axis of sizes, as in the figures of the Hessian.
SIZE = "image parameters, millions"


def accuracy(frame: pd.DataFrame) -> Figure:
    """Draw accuracy against parameters, one panel per task.

    Args:
        frame: From :func:`clip_mamba.tables.zeroshot`.

    Returns:
        The figure: models with 95 % intervals, sizes of a family joined, what can be had without
        a look at the picture dashed and the pixel nearest neighbour dotted.
    """
    frame = per_task(frame)
    measured = frame[frame["value"].notna() & (frame["model"] != style.BASELINE)]
    if measured.empty:
        return message("no zero-shot result yet")
    cells, rows, columns = _places(list(dict.fromkeys(measured["task"])))
    size = (style.TEXT_WIDTH, min(1.75 * rows, TALLEST) + 0.4)
    with style.context():
        figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for task, place in cells.items():
            _panel(grid[place], frame[frame["task"] == task], narrow=columns > 4)
            if place[1] == 0:
                grid[place].set_ylabel("accuracy / %")
            if (place[0] + 1, place[1]) not in cells.values():
                grid[place].set_xlabel("parameters, millions", fontsize=7)
        lines = {"guess or majority": "--"}
        if style.BASELINE in set(frame["model"]):
            lines["pixel 1-NN"] = ":"
        below(figure, style.ordered(measured["model"]), lines)
    return figure


def efficiency(frame: pd.DataFrame) -> Figure:
    """Draw the mean over tasks against parameters, the original report's beside ours.

    Args:
        frame: From :func:`clip_mamba.tables.zeroshot`.

    Returns:
        The figure: our means filled, with 95 % intervals, at the parameters of the image tower;
        the report's in outline, over the same tasks and at the parameters that it states.
    """
    means = averages(frame)
    ours, theirs = means[means["value"].notna()], means[means["published"].notna()]
    if ours.empty and theirs.empty:
        return message("no zero-shot result yet")
    with style.context():
        figure, axes = plt.subplots(figsize=(0.75 * style.TEXT_WIDTH, 2.6))
        for row in theirs.to_dict("records"):
            look = style.look(row["model"])
            axes.plot(
                row["published_parameters"], 100 * row["published"], color=look.colour,
                marker=look.marker, mfc="none", ls="none", zorder=2,
            )  # fmt: skip
        for row in ours.to_dict("records"):
            _point(axes, row)
        _join(axes, ours)
        axes.set_xscale("log")
        axes.margins(x=0.15, y=0.15)
        _size_axis(axes)
        axes.set_xlabel(SIZE)
        axes.set_ylabel(f"mean over {_counted(frame, ours, means)} tasks / %")
        handles = [handle(model) for model in style.ordered([*ours["model"], *theirs["model"]])]
        if len(theirs):
            label, grey = "original report", style.NEUTRAL
            handles.append(
                Line2D([], [], color=grey, marker="o", mfc="none", ls="none", label=label)
            )
        figure.legend(handles=handles, loc="outside right upper")
    return figure


def zeroshot_difference(frame: pd.DataFrame) -> Figure:
    """Draw what each Mamba model gains on, or loses to, the ViT of its size, per task.

    Args:
        frame: From :func:`clip_mamba.tables.zeroshot`, made with predictions.

    Returns:
        Tasks down, the mean below; points with paired 95 % intervals. Right of the line Mamba is
        ahead.
    """
    data = frame[frame["gain"].notna()]
    if data.empty:
        return message("the comparison needs the predictions of a Mamba model and a ViT")
    renamed = {"task": "row", "gain": "value", "gain_low": "low", "gain_high": "high"}
    columns = [*renamed, "model", "other"]
    titles = dict(zip(data["task"], data["title"], strict=True))
    tasks = [task for task in titles if task] + [""]
    labels = [*(titles[task] for task in tasks[:-1]), "mean"]
    return differences(data[columns].rename(columns=renamed), tasks, labels)


def _counted(frame: pd.DataFrame, ours: pd.DataFrame, means: pd.DataFrame) -> int:
    """Return the number of tasks that the means are over."""
    if len(ours):
        return int(means["tasks"].max())
    return int(per_task(frame)["task"][per_task(frame)["published"].notna()].nunique())


def _places(tasks: list[str]) -> tuple[dict[str, tuple[int, int]], int, int]:
    """Return each task's row and column, and how many of both: families in rows if they fit."""
    families: dict[str, list[str]] = {}
    for task in tasks:
        families.setdefault(task.rpartition("-")[0] or task, []).append(task)
    lone = [own[0] for own in families.values() if len(own) == 1]
    rows = [own for own in families.values() if len(own) > 1]
    width = max(map(len, rows), default=5)
    if not rows or width > 4 or len(lone) > len(rows):
        places = {task: divmod(number, 5) for number, task in enumerate(tasks)}
        return places, math.ceil(len(tasks) / 5), min(5, len(tasks))
    places = {task: (i, j) for i, own in enumerate(rows) for j, task in enumerate(own)}
    first = len(rows) - len(lone)  # what has no family comes last: a hole is above it
    places |= {task: (first + i, width) for i, task in enumerate(lone)}
    return places, len(rows), width + bool(lone)


def _panel(axes: Axes, frame: pd.DataFrame, narrow: bool) -> None:
    axes.set_axis_on()
    axes.set_title(frame["title"].iloc[0], fontsize=7)
    for row in frame.to_dict("records"):
        if row["model"] == style.BASELINE:
            _line(axes, row["value"], ":")
        elif pd.notna(row["value"]):
            _point(axes, row)
    _line(axes, frame["trivial"].iloc[0], "--")
    models = frame[(frame["model"] != style.BASELINE) & frame["value"].notna()]
    _join(axes, models)
    axes.set_xscale("log")
    axes.margins(x=0.15, y=0.1)
    axes.set_ylim(bottom=max(0, axes.get_ylim()[0]))
    _size_axis(axes, narrow)


def _join(axes: Axes, models: pd.DataFrame) -> None:
    """Join the sizes of each family."""
    for name, own in models.groupby(models["model"].map(style.family), sort=False):
        if len(own) > 1:
            joined = own.sort_values("image_parameters")
            colour = style.look(f"{name}-Nano").colour
            axes.plot(
                joined["image_parameters"], 100 * joined["value"], color=colour, lw=0.8, zorder=1
            )


def _point(axes: Axes, row: dict[str, Any]) -> None:
    look, value = style.look(row["model"]), 100 * row["value"]
    errors = None
    if pd.notna(row["low"]):
        errors = [[max(0.0, value - 100 * row["low"])], [max(0.0, 100 * row["high"] - value)]]
    axes.errorbar(
        row["image_parameters"], value, yerr=errors, color=look.colour, marker=look.marker,
        ls="none", lw=0.9, capsize=1.5, zorder=3,
    )  # fmt: skip


def _line(axes: Axes, value: float | None, kind: str) -> None:
    if value is not None and pd.notna(value):
        axes.axhline(100 * value, color=style.NEUTRAL, ls=kind, lw=0.9, zorder=2)


def _size_axis(axes: Axes, narrow: bool = False) -> None:
    """Label parameters in millions: 0.2, 0.3, 0.5 or 30, 50, 100."""
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 3) if narrow else (1, 2, 3, 5)))
    axes.xaxis.set_minor_locator(LogLocator(subs=range(2, 10)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size / 1e6:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
