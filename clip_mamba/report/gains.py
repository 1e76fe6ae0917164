"""What the report says of Mamba models against the ViTs of their sizes."""

from __future__ import annotations

from typing import Any

import pandas as pd

from clip_mamba.claims.paired import holm
from clip_mamba.claims.verdicts import ALPHA
from clip_mamba.tables import cells
from clip_mamba.tables.tex import Tex


def gains(means: pd.DataFrame, parts: pd.DataFrame) -> list[dict[str, Any]]:
    """Return what each Mamba model gains on the ViT of its size.

    Args:
        means: ``model``, ``other``, ``value``, ``low``, ``high`` and ``p`` of the mean over data
            sets, a row per Mamba model.
        parts: Likewise of single data sets.

    Returns:
        By model: names, the difference in percentage points without its sign (``points`` and
        ``bounds``) and with it, p adjusted for the number of models (Holm), whether Mamba is
        ``ahead``, ``behind`` or ``level``, and on how many data sets the whole interval lies on
        either side of zero.
    """
    rows = means.to_dict("records")
    found = []
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        own = parts[parts["model"] == row["model"]]
        low, high = (row["low"], row["high"]) if row["value"] > 0 else (-row["high"], -row["low"])
        found.append({
            "model": row["model"],
            "other": row["other"],
            "points": cells.percent(abs(row["value"])),
            "bounds": cells.interval(low, high, factor=100),
            "signed": cells.percent(row["value"]),
            "interval": cells.interval(row["low"], row["high"], factor=100),
            "p": Tex("$p<0.001$") if p < 0.001 else Tex(f"$p={p:.3f}$"),
            "verdict": _side(row["value"], p),
            "above": int((own["low"] > 0).sum()),
            "below": int((own["high"] < 0).sum()),
            "of": len(own),
        })
    return found


def _side(value: float, p: float) -> str:
    if p >= ALPHA:
        return "level"
    return "ahead" if value > 0 else "behind"
