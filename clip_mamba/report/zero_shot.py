"""What the report says of zero-shot classification."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from clip_mamba import style
from clip_mamba.tables import cells
from clip_mamba.tables.tex import Tex


def _accuracy(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's accuracy as prose uses it."""
    bounds = cells.interval(row["low"], row["high"], factor=100)
    value = cells.percent(row["value"])
    return {
        "model": style.label(row["model"]),
        "value": value,
        "interval": bounds,
        "text": Tex(rf"{value}\,\%" + (f" {bounds}" if bounds else "")),
    }


def champions(frame: pd.DataFrame) -> dict[str, Any]:
    """Return the best Mamba model, the best other model, and whether their intervals meet.

    Args:
        frame: A table with models, values and intervals.

    Returns:
        ``mamba``, ``vit`` and ``apart``; ``None`` where there is no such model.
    """
    known = frame[frame["value"].notna() & (frame["model"] != style.BASELINE)]
    mamba = known[known["model"].map(style.is_mamba).astype(bool)]
    other = known[~known["model"].map(style.is_mamba).astype(bool)]
    best = [
        own.loc[own["value"].astype(float).idxmax()].to_dict() if len(own) else None
        for own in (mamba, other)
    ]
    apart = None
    if best[0] and best[1] and pd.notna(best[0]["low"]) and pd.notna(best[1]["low"]):
        apart = best[0]["low"] > best[1]["high"] or best[1]["low"] > best[0]["high"]
    return {
        "mamba": _accuracy(best[0]) if best[0] else None,
        "vit": _accuracy(best[1]) if best[1] else None,
        "apart": apart,
    }


def headline(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return what the prose says of each task that was measured.

    Args:
        frame: From :func:`clip_mamba.tables.zeroshot`.

    Returns:
        One entry per task.
    """
    found = []
    for task, own in frame.groupby("task", sort=False):
        both = champions(own)
        if both["mamba"] is None and both["vit"] is None:
            continue
        first = own.iloc[0]
        baseline = own[(own["model"] == style.BASELINE) & own["value"].notna()]
        trained = own[(own["model"] != style.BASELINE)]
        above = trained["low"] > first["chance"] if pd.notna(first["chance"]) else None
        factor = trained["times_chance"].dropna()
        found.append({
            "task": task,
            "title": first["title"],
            "examples": cells.count(own["examples"].max()),
            "classes": cells.count(first["classes"]),
            "chance": cells.percent(first["chance"], 2),
            **both,
            "baseline": _accuracy(baseline.iloc[0].to_dict()) if len(baseline) else None,
            "above_chance": None if above is None else int(above.sum()),
            "trained": len(trained),
            "least_factor": cells.significant(factor.min() if len(factor) else None, 2),
            "most_factor": cells.significant(factor.max() if len(factor) else None, 2),
        })
    return found
