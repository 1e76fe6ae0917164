"""Pretraining figures: loss curves, and a sheet of training pictures."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from clip_mamba import style
from clip_mamba.figures.legend import handle
from clip_mamba.figures.save import message
from clip_mamba.results import Result
from clip_mamba.tables.select import detail


def loss_curves(results: Sequence[Result]) -> Figure:
    """Draw the training loss of every run.

    Args:
        results: Results; those of kind ``pretrain`` count.

    Returns:
        The losses as recorded (faint) and smoothed over a twentieth of the run.
    """
    runs = [r for r in results if r.kind == "pretrain" and detail(r.details, "history")]
    if not runs:
        return message("no pretraining history yet")
    models = style.ordered(run.model for run in runs)
    with style.context():
        figure, axes = plt.subplots(figsize=(0.75 * style.TEXT_WIDTH, 2.5))
        for run in sorted(runs, key=lambda r: (models.index(r.model), r.seed)):
            history = pd.DataFrame(run.details["history"])
            look = style.look(run.model)
            window = max(1, len(history) // 20)
            smooth = history["loss"].rolling(window, min_periods=1, center=True).mean()
            axes.plot(history["step"], history["loss"], color=look.colour, lw=0.5, alpha=0.3)
            axes.plot(
                history["step"], smooth, color=look.colour, ls=look.line, marker=look.marker,
                markevery=max(1, len(history) // 8),
            )  # fmt: skip
        axes.set(xlabel="step", ylabel="contrastive loss")
        axes.margins(x=0.01)
        axes.legend(handles=[handle(model) for model in models])
    return figure


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
            axes.set_title(text, fontsize=6, loc="center", y=-0.08, va="top", parse_math=False)
    return figure
