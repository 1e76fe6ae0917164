"""What the report says of the out-of-distribution sets."""

from __future__ import annotations

from typing import Any

import pandas as pd

from clip_mamba import style
from clip_mamba.report.zero_shot import champions
from clip_mamba.tables import cells


def ood(frame: pd.DataFrame) -> dict[str, Any]:
    """Return what the prose says of the out-of-distribution sets.

    Args:
        frame: From :func:`clip_mamba.tables.ood`.

    Returns:
        The context.
    """
    conditions = frame[(frame["quantity"] == "accuracy") & (frame["level"] == "")]
    pairs = frame[(frame["quantity"] == "error-consistency") & (frame["condition"] == "")]
    pairs = pairs.dropna(subset="value")
    # Over all categories; the rows with a level are of one category each.
    shape = frame[(frame["quantity"] == "shape-bias") & (frame["level"] == "")]
    bias = shape["value"].dropna()
    return {
        "mean": champions(frame[frame["quantity"] == "mean-accuracy"]),
        "conditions": cells.count(conditions["condition"].nunique()),
        "chance": cells.percent(frame["chance"].dropna().max() if len(frame) else None, 2),
        "shape_low": cells.percent(bias.min() if len(bias) else None, 0),
        "shape_high": cells.percent(bias.max() if len(bias) else None, 0),
        "most_alike": _pair(pairs, "idxmax"),
        "least_alike": _pair(pairs, "idxmin"),
    }


def _pair(pairs: pd.DataFrame, which: str) -> dict[str, Any] | None:
    if pairs.empty:
        return None
    row = pairs.loc[getattr(pairs["value"].astype(float), which)()]
    return {"one": row["model"], "two": row["other"], "kappa": cells.fixed(row["value"], 2)}


def levels(frame: pd.DataFrame) -> dict[str, Any]:
    """Return the accuracy at every level, for the appendix.

    Args:
        frame: From :func:`clip_mamba.tables.ood`.

    Returns:
        Models and rows of cells.
    """
    own = frame[(frame["quantity"] == "accuracy") & (frame["level"] != "")]
    names = style.ordered(own["model"])
    rows: list[dict[str, Any]] = []
    for (condition, level), group in own.groupby(["condition", "level"], sort=False):
        records = {row["model"]: row for row in group.to_dict("records")}
        shown = [
            cells.percent(records[name]["value"]) if name in records else cells.MISSING
            for name in names
        ]
        first = not rows or rows[-1]["condition"] != condition
        rows.append({
            "condition": condition,
            "first": first,
            "level": level,
            "excluded": bool(group["excluded"].any()),
            "examples": cells.count(group["examples"].max()),
            "cells": shown,
        })
    return {"models": names, "rows": rows}
