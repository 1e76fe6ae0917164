"""Our zero-shot results against the original report's."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from clip_mamba import style
from clip_mamba.figures.legend import handle
from clip_mamba.figures.save import message
from clip_mamba.tables.averages import per_task


def reproduction(frame: pd.DataFrame) -> Figure:
    """Draw each task of each model: our value against the published one.

    Args:
        frame: From :func:`clip_mamba.tables.zeroshot`.

    Returns:
        The figure: on the dashed line both are equal; vertical lines are our 95 % intervals.
    """
    own = per_task(frame)
    both = own[own["value"].notna() & own["published"].notna()]
    if both.empty:
        return message("no task was measured that the original published")
    with style.context():
        figure, axes = plt.subplots(figsize=(0.7 * style.TEXT_WIDTH, 0.55 * style.TEXT_WIDTH))
        axes.plot([0, 100], [0, 100], ls="--", color=style.NEUTRAL, zorder=1)
        for model in style.ordered(both["model"]):
            own, look = both[both["model"] == model], style.look(model)
            x, y = 100 * own["published"].astype(float), 100 * own["value"].astype(float)
            low, high = 100 * own["low"].astype(float), 100 * own["high"].astype(float)
            axes.vlines(x, low, high, color=look.colour, lw=0.8, zorder=2)
            axes.plot(x, y, color=look.colour, marker=look.marker, ls="none", zorder=3)
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 100)
        axes.set_aspect("equal")
        axes.set_xlabel("original report / %")
        axes.set_ylabel("here / %")
        figure.legend(
            handles=[handle(model) for model in style.ordered(both["model"])],
            loc="outside right upper",
        )
    return figure
