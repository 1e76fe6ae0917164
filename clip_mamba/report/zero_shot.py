"""What the report says of zero-shot classification."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from clip_mamba import style
from clip_mamba.report.gains import gains
from clip_mamba.report.words import listed, share, span
from clip_mamba.tables import cells
from clip_mamba.tables.averages import averages, per_task
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
    """Return the best Mamba model and the best other model.

    Args:
        frame: A table with models, values and intervals.

    Returns:
        ``mamba`` and ``vit``; ``None`` where there is no such model.
    """
    known = frame[frame["value"].notna() & (frame["model"] != style.BASELINE)]
    mamba = known["model"].map(style.is_mamba).astype(bool)
    return {"mamba": _best(known[mamba]), "vit": _best(known[~mamba])}


def _best(own: pd.DataFrame) -> dict[str, Any] | None:
    return _accuracy(own.loc[own["value"].astype(float).idxmax()].to_dict()) if len(own) else None


def headline(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the best models on each task that was measured, for the abstract.

    Args:
        frame: From :func:`clip_mamba.tables.zeroshot`.

    Returns:
        One entry per task.
    """
    found = []
    for task, own in per_task(frame).groupby("task", sort=False):
        both = champions(own)
        if both["mamba"] is None and both["vit"] is None:
            continue
        first = own.iloc[0]
        baseline = own[(own["model"] == style.BASELINE) & own["value"].notna()]
        found.append({
            "task": task,
            "title": first["title"],
            "chance": cells.percent(first["chance"], 2),
            **both,
            "baseline": _accuracy(baseline.iloc[0].to_dict()) if len(baseline) else None,
        })
    return found


def zero_shot(frame: pd.DataFrame) -> dict[str, Any] | None:
    """Return what the prose says of all tasks together.

    Args:
        frame: From :func:`clip_mamba.tables.zeroshot`.

    Returns:
        The context; ``None`` if nothing was measured. ``pixels`` is ``None`` without a baseline
        in pixels, and ``gains`` without paired differences.
    """
    single, mean = per_task(frame), averages(frame)
    single = single[single["value"].notna()].astype({"value": float})
    trained = single[single["model"] != style.BASELINE]
    if trained.empty:
        return None
    means = mean["value"].dropna()
    return {
        "tasks": trained["task"].nunique(),
        "averaged": int(mean["tasks"].max()),
        "mean": span(cells.percent(means.min()), cells.percent(means.max()))
        if len(means)
        else None,
        **_above_trivial(trained),
        "pixels": _pixels(single, trained),
        "gains": _gains(frame),
    }


def _above_trivial(trained: pd.DataFrame) -> dict[str, Any]:
    """Return on which tasks models do better than without a look at the picture, and how much."""
    own = trained.assign(above=trained["low"] > trained["trivial"])
    by_title = own.groupby("title", sort=False)["above"]
    whole, total = int(by_title.all().sum()), len(by_title)
    factor = own.set_index("title")["times_trivial"].dropna().astype(float)
    ends = [factor.idxmin(), factor.idxmax()] if len(factor) else []
    return {
        "all_above": _of(whole, total, "task") if whole else None,
        "some_above": [
            f"on “{title}” {_of(int(above.sum()), len(above), 'model')}"
            for title, above in by_title
            if not above.all() and len(above) > 1
        ],
        "factors": [
            {"title": title, "factor": cells.fixed(value, 0 if value >= 10 else 1)}
            for title, value in zip(ends, [factor.min(), factor.max()], strict=False)
        ],
    }


def _of(count: int, total: int, noun: str) -> str:
    return f"{share(count, total)} {noun}{'s' * (total > 1)}"


def _pixels(single: pd.DataFrame, trained: pd.DataFrame) -> dict[str, Any] | None:
    """Return where the nearest training picture in pixels is better than models."""
    baseline = single[single["model"] == style.BASELINE].set_index("task")["value"]
    own = trained[trained["task"].isin(baseline.index)]
    if own.empty:
        return None
    own = own.assign(passes=own["value"] > own["task"].map(baseline))
    by_task = own.groupby(["task", "title"], sort=False)
    classes, passes = by_task["classes"].first().astype(int), by_task["passes"].agg(["sum", "size"])
    passed = passes["sum"] > 0
    broad = passed.any() and not passed.all() and classes[passed].max() < classes[~passed].min()
    return {
        "answered": _of(len(passed), trained["task"].nunique(), "task"),
        "tasks": len(passed),
        "ahead": int((~passed).sum()),
        "ahead_on": listed([f"“{title}”" for _, title in passed.index[~passed]]),
        "passed": [
            f"{_of(int(row['sum']), int(row['size']), 'model')} on “{title}”"
            for (_, title), row in passes[passed].iterrows()
        ],
        # Whether it is the number of classes that decides.
        "broad": str(classes[passed].max()) if broad else None,
    }


def _gains(frame: pd.DataFrame) -> dict[str, Any] | None:
    """Return how Mamba models differ from the ViTs of their sizes, per task and on the mean."""
    names = {"gain": "value", "gain_low": "low", "gain_high": "high", "gain_p": "p"}
    own = frame[["task", "model", "other", *names]].rename(columns=names).dropna(subset="value")
    parts, means = per_task(own), averages(own)
    if parts.empty:
        return None
    return {
        "of": len(parts),
        "above": int((parts["low"] > 0).sum()),
        "below": int((parts["high"] < 0).sum()),
        "models": gains(means, parts),
    }


def probes(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return what the prose says of linear probes.

    Args:
        frame: From :func:`clip_mamba.tables.linear_probe`.

    Returns:
        One entry per task that was measured.
    """
    return [
        {
            "title": title,
            "range": span(cells.percent(own["value"].min()), cells.percent(own["value"].max())),
            "trivial": cells.percent(own["trivial"].iloc[0]),
        }
        for title, own in frame[frame["value"].notna()].groupby("title", sort=False)
    ]
