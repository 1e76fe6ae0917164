"""How models look: one colour, marker and line for the same model in every figure and table."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib import style as mpl_style

from clip_mamba.variants import architecture, variant

#: Matplotlib settings of all figures.
SHEET = Path(__file__).with_name("clip_mamba.mplstyle")

#: Widths in inches: the report's text, and half of it.
TEXT_WIDTH, COLUMN_WIDTH = 6.5, 3.2

#: The pixel nearest-neighbour baseline, by its name in results.
BASELINE = "pixel-1nn"

#: Colour of the baselines, which belong to no model.
NEUTRAL = "#666666"

# Okabe and Ito's colours for the smallest and a middle size; the further ones keep the hue and
# are told apart by marker and by lightness, so that the figures also read in grey.
_COLOURS = {
    "ViT": ("#56b4e9", "#0072b2", "#003f66", "#8fd0f5"),
    "VMamba": ("#e69f00", "#d55e00", "#7d3300", "#f2c866"),
    "SiMBA": ("#009e73", "#005c43", "#66c9ac", "#00342a"),
}
_OTHER = ("#cc79a7", "#7f4f8f", "#a3a300", "#8c564b")
_MARKERS = {"ViT": "sDpP", "VMamba": "o^v<", "SiMBA": "Xdh>"}
_LINES = ("-", (0, (4, 1.2)), (0, (1.2, 1.2)), (0, (4, 1.2, 1, 1.2)))
_SIZES = {
    "ViT": ("Test", "Nano", "Micro", "S-16", "B-16", "L-16"),
    "VMamba": ("Test", "Pico", "Nano", "Micro", "T220", "S", "B"),
    "SiMBA": ("Test", "Nano", "Micro", "S", "B", "L"),
}
#: Which look a size has; demo and paper sizes are never in one figure.
_LOOKS = {"Test": 3, "Pico": 2, "Nano": 0, "Micro": 1, "T220": 0, "S-16": 2, "B-16": 0, "L-16": 1}


@dataclass(frozen=True)
class Look:
    """What a model is drawn with."""

    colour: str
    marker: str
    line: str | tuple


def family(model: str) -> str:
    """Return the architecture family of a model.

    Args:
        model: A model's name, e.g. ``VMamba-Micro``.

    Returns:
        ``ViT``, ``VMamba``, ``SiMBA``, or the part of the name before the first dash.
    """
    return model.partition("-")[0]


def is_mamba(model: str) -> bool:
    """Return whether a model is of one of the Mamba families.

    Args:
        model: A model's name.

    Returns:
        ``True`` for VMamba and SiMBA, and for other names that contain "mamba".
    """
    return family(model) in {"VMamba", "SiMBA"} or "mamba" in model.lower()


def look(model: str) -> Look:
    """Return what a model is drawn with, from its name alone.

    Args:
        model: A model's name; unknown ones get a fixed look of their own.

    Returns:
        The look.
    """
    model = architecture(model)
    known = family(model)
    if known not in _COLOURS:
        number = zlib.crc32(model.encode())
        return Look(_OTHER[number % 4], "*Hv8"[number // 4 % 4], _LINES[number // 16 % 4])
    size = model.partition("-")[2]
    default = {"S": 1, "B": 2} if known == "VMamba" else {"S": 0, "B": 1, "L": 2}
    place = _LOOKS.get(size, default.get(size, zlib.crc32(size.encode()) % 4))
    return Look(_COLOURS[known][place], _MARKERS[known][place], _LINES[place])


def ordered(models: Iterable[str]) -> list[str]:
    """Return models without repetition: families together, small to large, baseline last.

    Args:
        models: Names.

    Returns:
        The names in the order of tables and legends.
    """
    families = list(_COLOURS)

    def key(model: str) -> tuple:
        known, size = family(model), architecture(model).partition("-")[2]
        sizes = _SIZES.get(known, ())
        return (
            model == BASELINE,
            families.index(known) if known in families else len(families),
            sizes.index(size) if size in sizes else len(sizes),
            model,
        )

    return sorted(set(models), key=key)


def label(model: str) -> str:
    """Return a model's name for readers.

    Args:
        model: A model's name.

    Returns:
        The name; the baseline is spelt out, and a variant stands in parentheses.
    """
    if model == BASELINE:
        return "pixel 1-NN"
    return f"{architecture(model)} ({variant(model)})" if variant(model) else model


def context() -> AbstractContextManager[None]:
    """Return a context in which figures have this style, without a display.

    Returns:
        A context manager.
    """
    mpl.use("Agg")
    return mpl_style.context(SHEET)
