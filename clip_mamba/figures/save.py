"""Writing figures: PDF for the report, a page for the interactive one, PNG for everything else."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO
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
        *paths: ``.pdf``, ``.png``, ``.svg`` or ``.html`` files; a page shows the SVG.
    """
    for path in map(Path, paths):
        kind = path.suffix.lstrip(".")
        with atomic_write(path) as temporary:
            temporary.write_bytes(
                _page(_rendered(figure, "svg"), path.stem)
                if kind == "html"
                else _rendered(figure, kind)
            )
    plt.close(figure)


def _rendered(figure: Figure, kind: str) -> bytes:
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    buffer = BytesIO()
    with style.context():
        figure.savefig(buffer, format=kind, metadata=undated.get(kind))
    return buffer.getvalue()


def _page(svg: bytes, name: str) -> bytes:
    """Return a page of one picture, twice as large as in print or as wide as the window.

    Snakemake's interactive report centres a bare picture, and leaves no way to the top of one
    that is taller than the window; a page scrolls.
    """
    data = f"data:image/svg+xml;base64,{b64encode(svg).decode()}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title>'
        "<style>img { display: block; margin: 1rem auto; max-width: 100%; }</style>"
        f'<img alt="{name}" onload="this.width = 2 * this.naturalWidth" src="{data}"></html>\n'
    ).encode()


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
