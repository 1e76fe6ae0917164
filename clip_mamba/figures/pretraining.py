"""Pretraining figures: loss curves, and a sheet of training pictures."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clip_mamba import style
from clip_mamba.figures.save import message
from clip_mamba.results import Result
from clip_mamba.tables.select import detail


def loss_curves(results: Sequence[Result]) -> Figure:
    """Draw the training loss of every run.

    Args:
        results: Results; those of kind ``pretrain`` count.

    Returns:
        The means over the twentieth of the run before each step, so that lines end at the final
        loss of the table of models; dotted, the loss of a model that finds all pairs of a batch
        equally likely.
    """
    runs = [r for r in results if r.kind == "pretrain" and detail(r.details, "history")]
    if not runs:
        return message("no pretraining history yet")
    models = style.ordered(run.model for run in runs)
    ends: dict[str, list[tuple[float, float]]] = {model: [] for model in models}
    with style.context():
        figure, axes = plt.subplots(figsize=(0.75 * style.TEXT_WIDTH, 2.6))
        for run in sorted(runs, key=lambda r: (models.index(r.model), str(r.seed))):
            ends[run.model].append(_curve(axes, run))
        axes.set(xlabel="step", ylabel="contrastive loss")
        axes.margins(x=0.01)
        for size in _batch_sizes(runs):
            axes.axhline(math.log(size), color=style.NEUTRAL, ls=":", lw=0.9)
            axes.text(
                1, math.log(size), f"chance: ln {size}", ha="right", va="bottom", fontsize=7,
                color=style.NEUTRAL, transform=axes.get_yaxis_transform(),
            )  # fmt: skip
        _name_ends(axes, ends)
    return figure


def _curve(axes: Axes, run: Result) -> tuple[float, float]:
    """Return where the smoothed loss of a run ends, having drawn it."""
    history = pd.DataFrame(run.details["history"])
    look = style.look(run.model)
    window = max(1, len(history) // 20)
    smooth = history["loss"].rolling(window, min_periods=1).mean()
    axes.plot(
        history["step"], smooth, color=look.colour, ls=look.line, lw=1, marker=look.marker, ms=3.5,
        markevery=max(1, len(history) // 8),
    )  # fmt: skip
    return float(history["step"].iloc[-1]), float(smooth.iloc[-1])


def _batch_sizes(runs: Sequence[Result]) -> list[int]:
    """Return the number of pairs among which runs had to find the right one."""
    found = [(detail(run.details, "pairs"), detail(run.details, "steps")) for run in runs]
    return sorted({round(pairs / steps) for pairs, steps in found if pairs and steps})


def _name_ends(axes: Axes, ends: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    """Write each model's name beside the end of its line, names apart from each other."""
    last = max(step for own in ends.values() for step, _ in own)
    heights = {model: float(np.mean([loss for _, loss in own])) for model, own in ends.items()}
    low, high = axes.get_ylim()
    places = apart(heights, 0.075 * (high - low))
    for model, place in places.items():
        look = style.look(model)
        axes.annotate(
            style.label(model), (last, heights[model]), (1.04, place), va="center", fontsize=7,
            textcoords=axes.get_yaxis_transform(), annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": look.colour, "lw": 0.6, "relpos": (0, 0.5)},
        )  # fmt: skip


def apart(heights: Mapping[str, float], gap: float) -> dict[str, float]:
    """Return places for labels near their heights, in the same order and not nearer than a gap.

    Args:
        heights: Where each label would stand.
        gap: Least distance.

    Returns:
        The places, about the heights' own middle.
    """
    names = sorted(heights, key=lambda name: heights[name])
    places: list[float] = []
    for name in names:
        places.append(max([heights[name], *(place + gap for place in places[-1:])]))
    back = float(np.mean(places) - np.mean([heights[name] for name in names]))
    return {name: place - back for name, place in zip(names, places, strict=True)}


def corpus_sheet(
    images: Sequence[np.ndarray] | np.ndarray, captions: Sequence[str], columns: int = 8
) -> Figure:
    """Draw training pictures with their captions.

    Args:
        images: (height, width, 3) uint8 pictures.
        captions: One for each.
        columns: Pictures in a row.

    Returns:
        The sheet.

    Raises:
        ValueError: If there are not as many captions as pictures.
    """
    if len(images) != len(captions):
        raise ValueError(f"{len(images)} pictures and {len(captions)} captions")
    if len(images) == 0:
        return message("no training picture")
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    with style.context():
        figure, grid = plt.subplots(
            rows, columns, figsize=(style.TEXT_WIDTH, 1.25 * rows), squeeze=False
        )
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, image, caption in zip(grid.flat, images, captions, strict=False):
            axes.imshow(image, interpolation="nearest")
            text = "\n".join(textwrap.wrap(caption, 17, max_lines=3, placeholder=" ..."))
            axes.set_title(
                text, fontsize=6, loc="center", y=-0.06, pad=0, va="top", parse_math=False
            )
    return figure
