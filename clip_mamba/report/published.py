"""The original report's own zero-shot results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from clip_mamba.tables import cells
from clip_mamba.tables.tex import Tex


def published(path: str | Path) -> dict[str, Any] | None:
    """Return the original's zero-shot table, tasks down and models across.

    Args:
        path: ``paper/published/zeroshot.csv``.

    Returns:
        The context; ``None`` if there is no such file.
    """
    if not Path(path).is_file():
        return None
    frame = pd.read_csv(path, comment="#").set_index("model")
    sizes = frame.pop("parameters_million")
    rows = [
        {"task": task, "cells": _bold(list(frame[task]), 1)} for task in frame.columns
    ]  # one row per task
    means = frame.mean(axis=1)

    def named(name: str) -> dict[str, Any]:
        return {"size": f"{sizes[name]:g}", "mean": cells.fixed(means[name], 2)}

    ahead = frame.loc["Simba_L"] > frame.loc["VIT-L"]
    return {
        # Tasks on which the smaller of them is ahead.
        "ahead": int(ahead.sum()),
        # The two models of the original's claim on efficiency.
        "small": named("Simba_L"),
        "large": named("VIT-L"),
        "models": [_spelt(name) for name in frame.index],
        "sizes": [f"{size:g}" for size in sizes],
        "rows": rows,
        "means": _bold(list(means), 2),
        "tasks": len(frame.columns),
    }


def _spelt(name: str) -> str:
    """Return a published model's name in our spelling."""
    return name.replace("_", "-").replace("VIT", "ViT").replace("Simba", "SiMBA")


def _bold(values: Sequence[float], digits: int) -> list[Tex]:
    top = cells.best(values, show=lambda value: cells.fixed(value, digits))
    return [
        Tex(rf"\textbf{{{cells.fixed(v, digits)}}}" if place in top else cells.fixed(v, digits))
        for place, v in enumerate(values)
    ]
