"""Writing figures: vector PDF for the report and PNG for everything else."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from clip_mamba import style
from clip_mamba.files import atomic_write


def write(figure: Figure, *paths: str | Path) -> None:
    """Write a figure to each path in the format of its suffix, atomically, and close it.

    Files do not hold the time of writing, so equal figures are equal files.

    Args:
        figure: The figure.
        *paths: ``.pdf``, ``.png`` or ``.svg`` files.
    """
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    with style.context():
        for path in map(Path, paths):
            kind = path.suffix.lstrip(".")
            with atomic_write(path) as temporary:
                figure.savefig(temporary, format=kind, metadata=undated.get(kind))
    plt.close(figure)


def message(text: str) -> Figure:
    """Return a figure that only says why there is nothing to show.

    Args:
        text: The reason.

    Returns:
        The figure.
    """
    with style.context():
        figure, axes = plt.subplots(figsize=(style.COLUMN_WIDTH, 1.0))
        axes.set_axis_off()
        axes.text(0.5, 0.5, text, ha="center", va="center", wrap=True, color=style.NEUTRAL)
    return figure
