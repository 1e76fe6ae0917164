"""One legend per figure, beneath the panels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from clip_mamba import style


def below(
    figure: Figure,
    models: Sequence[str],
    lines: Mapping[str, str] | None = None,
    most: int = 5,
) -> None:
    """Put a legend of models and reference lines under the figure.

    Args:
        figure: The figure.
        models: The models, in order.
        lines: Further entries: label to line style, drawn in grey.
        most: So many entries fit into one row.
    """
    handles = [handle(model) for model in models]
    for label, kind in (lines or {}).items():
        handles.append(Line2D([], [], color=style.NEUTRAL, ls=kind, lw=0.9, label=label))
    # Two short rows rather than one that is wider than the figure.
    columns = len(handles) if len(handles) <= most else -(-len(handles) // 2)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)


def handle(model: str) -> Line2D:
    """Return a model's entry in a legend.

    Args:
        model: The model's name.

    Returns:
        A line with its marker.
    """
    look = style.look(model)
    return Line2D(
        [], [], color=look.colour, marker=look.marker, ls=look.line, label=style.label(model)
    )
