"""A sheet of one object under all conditions and levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clip_mamba import style
from clip_mamba.figures.save import message

#: A picture and what stands over it.
Shown = tuple[np.ndarray, str]

# In inches: the names of conditions, the space over a picture, and that around it.
_LABEL, _OVER, _GAP = 0.76, 0.12, 0.03

#: How many conditions of one picture share a row.
_TOGETHER = 5


def stimuli(rows: Mapping[str, Sequence[Shown]]) -> Figure:
    """Draw stimuli in two columns of conditions, a row each.

    Args:
        rows: Condition to its pictures, from left to right: (height, width, 3) uint8 and a level.

    Returns:
        The sheet. Conditions of one picture share rows, their names over the pictures. Pictures
        are stored at their own resolution, and text as text.
    """
    if not rows:
        return message("no stimulus")
    single = [(shown[0][0], name) for name, shown in rows.items() if len(shown) == 1]
    blocks = [(name, shown) for name, shown in rows.items() if len(shown) > 1]
    blocks += [("", single[i : i + _TOGETHER]) for i in range(0, len(single), _TOGETHER)]
    half = -(-len(blocks) // 2)
    width = style.TEXT_WIDTH / 2
    # As large as the longest row allows, but no larger than in the demo, of six levels.
    side = (width - _LABEL - 3 * _GAP) / max(6, *map(len, rows.values())) - _GAP
    with style.context():
        height = half * (side + _OVER + _GAP)
        figure, axes = plt.subplots(figsize=(style.TEXT_WIDTH, height))
        figure.suppressComposite = True  # else all pictures become one, at the figure's resolution
        for place, (name, shown) in enumerate(blocks):
            left, top = (place // half) * width, (place % half) * (side + _OVER + _GAP) + _OVER
            # A name of two words takes two lines; without one, names of conditions need room.
            text = name.replace("-", "-\n") if len(name) > 14 else name
            axes.text(left, top + side / 2, text, va="center", fontsize=7)
            start, step = (left + _LABEL, side + _GAP) if name else (left + 0.1, width / _TOGETHER)
            _pictures(axes, shown, start, step, top, side)
        axes.set_axis_off()
        axes.set(xlim=(0, style.TEXT_WIDTH), ylim=(height, 0), aspect="equal")
    return figure


def _pictures(
    axes: Axes, shown: Sequence[Shown], start: float, step: float, top: float, side: float
) -> None:
    for place, (image, text) in enumerate(shown):
        x = start + place * step
        axes.imshow(image, extent=(x, x + side, top + side, top), interpolation="none")
        axes.text(x + side / 2, top - 0.015, text, ha="center", va="bottom", fontsize=6)
