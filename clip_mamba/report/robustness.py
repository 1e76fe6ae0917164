"""What the report says of the out-of-distribution sets."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import pandas as pd

from clip_mamba import style
from clip_mamba.claims.comparisons import CONDITIONS as CLAIMED
from clip_mamba.corruptions.pixel import NOISE_CONTRAST
from clip_mamba.report.gains import gains
from clip_mamba.report.words import share, span
from clip_mamba.report.zero_shot import champions
from clip_mamba.tables import cells
from clip_mamba.tables.consistency import CUE_CONFLICT
from clip_mamba.tables.cues import FEW
from clip_mamba.tables.tex import Tex

#: The levels of the set "colour" that show pictures without any distortion, and their names.
UNDISTORTED = {"cr": "in colour", "bw": "in grey"}


def ood(frame: pd.DataFrame) -> dict[str, Any]:
    """Return what the prose says of the out-of-distribution sets.

    Args:
        frame: From :func:`clip_mamba.tables.ood`.

    Returns:
        The context; parts of it are empty or ``None`` where nothing was measured.
    """
    own = frame[(frame["quantity"] == "accuracy") & (frame["level"] == "")]
    own = own[own["value"].notna()]
    chance = frame["chance"].dropna()
    shifts = own.loc[own["condition"] != CUE_CONFLICT, "condition"].nunique()
    return {
        "mean": champions(frame[frame["quantity"] == "mean-accuracy"]),
        "shifts": cells.count(shifts),
        "chance": cells.percent(chance.max() if len(chance) else None, 2),
        "noise_contrast": cells.percent(NOISE_CONTRAST, 0),
        "few": str(FEW),
        "undistorted": _undistorted(frame),
        "floor": _floor(own),
        "gains": _gains(frame),
        "shape": _shape(frame),
        "kappa": _kappa(frame),
        "favourite": _favourite(frame, frame["condition"] != CUE_CONFLICT),
    }


def _undistorted(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the range of accuracies on pictures without any distortion."""
    own = frame[(frame["quantity"] == "accuracy") & (frame["condition"] == "colour")]
    found = []
    for level, name in UNDISTORTED.items():
        values = own.loc[own["level"] == level, "value"].dropna()
        if len(values):
            bounds = cells.percent(values.min()), cells.percent(values.max())
            found.append({"name": name, "range": span(*bounds)})
    return found


def _floor(own: pd.DataFrame) -> dict[str, Any] | None:
    """Return how many models lie above chance with their whole interval.

    Args:
        own: Measured accuracies over the levels of each condition.

    Returns:
        For the conditions of the original's claim the models above chance, which of them can
        hardly tell models apart, and for the models the least and the most shifts above chance.
    """
    own = own[own["low"].notna() & own["chance"].notna()]
    own = own.assign(above=own["low"] > own["chance"])
    claimed = [(name, own.loc[own["condition"] == name, "above"]) for name in CLAIMED]
    claimed = [(name, above) for name, above in claimed if len(above)]
    shifts = own[own["condition"] != CUE_CONFLICT].groupby("model")["above"].sum()
    if not claimed or shifts.empty:
        return None
    return {
        "claimed": [
            {"condition": name, "above": _models(int(above.sum()), len(above))}
            for name, above in claimed
        ],
        "hardly": [name for name, above in claimed if 2 * above.sum() < len(above)],
        "least": {"model": shifts.idxmin(), "shifts": int(shifts.min())},
        "most": {"model": shifts.idxmax(), "shifts": int(shifts.max())},
    }


def _gains(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return what each Mamba model gains on the ViT of its size, over the mean of the shifts."""
    own = frame[(frame["quantity"] == "difference") & frame["value"].notna()]
    shifts = own[~own["condition"].isin(["", CUE_CONFLICT])]
    return gains(own[own["condition"] == ""], shifts)


def _shape(frame: pd.DataFrame) -> dict[str, Any] | None:
    """Return the range of shape biases, and what they rest on."""
    # Over all categories; the rows with a level are of one category each.
    rows = frame[(frame["level"] == "") & frame["value"].notna()]
    bias, decisions, guessed = (
        rows[rows["quantity"] == name]
        for name in ("shape-bias", "shape-decisions", "guessed-decisions")
    )
    if bias.empty:
        return None
    known = bias.dropna(subset=["low", "high"])
    half = int(((known["low"] <= 0.5) & (known["high"] >= 0.5)).sum())
    return {
        "range": _range(bias["value"], lambda value: cells.percent(value, 0)),
        "decisions": _range(decisions["value"], cells.count),
        "pictures": cells.count(decisions["examples"].max()) if len(decisions) else None,
        "guessed": cells.count(guessed["value"].max()) if len(guessed) else None,
        "half": _models(half, len(known)) if len(known) else None,
        "favourite": _favourite(frame, frame["condition"] == CUE_CONFLICT),
    }


def _models(count: int, total: int) -> str:
    return f"{share(count, total)} model{'s' * (total > 1)}"


def _range(values: pd.Series, show: Callable[[float], Tex]) -> Tex | None:
    return span(show(values.min()), show(values.max())) if len(values) else None


def _kappa(frame: pd.DataFrame) -> dict[str, Any] | None:
    """Return how alike models err: the extremes, by kind of pair, and Mamba models akin to ViTs."""
    pairs = frame[(frame["quantity"] == "error-consistency") & (frame["condition"] == "")]
    pairs = pairs.dropna(subset="value").astype({"value": float})
    if pairs.empty:
        return None
    mambas = pairs[["model", "other"]].map(style.is_mamba).sum(axis=1)
    kinds = ("two ViTs", "a Mamba model and a ViT", "two Mamba models")
    return {
        "most": _pair(pairs, pairs["value"].idxmax()),
        "least": _pair(pairs, pairs["value"].idxmin()),
        "kinds": [
            {"name": name, "range": _range(own["value"], lambda value: cells.fixed(value, 2))}
            for number, name in enumerate(kinds)
            if len(own := pairs[mambas == number])
        ],
        "akin": _akin(pairs),
    }


def _akin(pairs: pd.DataFrame) -> list[str]:
    """Return the Mamba models that err more like a ViT than like any other Mamba model.

    Of such a model the whole interval with one ViT lies above its kappa with any Mamba model.
    """
    found = []
    for model in filter(style.is_mamba, style.ordered([*pairs["model"], *pairs["other"]])):
        own = pairs[(pairs["model"] == model) | (pairs["other"] == model)]
        others = own["model"].where(own["model"] != model, own["other"])
        mamba = others.map(style.is_mamba).astype(bool)
        if mamba.any() and (own.loc[~mamba, "low"] > own.loc[mamba, "value"].max()).any():
            found.append(model)
    return found


def _pair(pairs: pd.DataFrame, place: Hashable) -> dict[str, Any]:
    row = pairs.loc[place]
    bounds = cells.interval(row["low"], row["high"], 2)
    kappa = cells.fixed(row["value"], 2)
    return {
        "one": row["model"], "two": row["other"],
        "kappa": Tex(f"{kappa} {bounds}" if bounds else kappa),
    }  # fmt: skip


def _favourite(frame: pd.DataFrame, where: pd.Series) -> dict[str, Any] | None:
    """Return the most uneven answering: a model, its answer, its share, and the condition."""
    own = frame[(frame["quantity"] == "favourite-answer") & where]
    if own.empty:
        return None
    row = own.loc[own["value"].astype(float).idxmax()]
    return {
        "model": row["model"], "answer": row["level"], "condition": row["condition"],
        "share": cells.percent(row["value"], 0),
    }  # fmt: skip


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
        rows.append({
            "condition": condition,
            "first": not rows or rows[-1]["condition"] != condition,
            "level": level,
            "excluded": bool(group["excluded"].any()),
            "examples": cells.count(group["examples"].max()),
            "cells": shown,
        })
    for place, row in enumerate(rows, 1):
        row["last"] = place == len(rows) or rows[place]["first"]
    return {"models": names, "rows": rows}
