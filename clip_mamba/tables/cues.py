"""Rows of the table of robustness: shape or texture, and on how many decisions it rests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clip_mamba.ood.trials import texture_category
from clip_mamba.results import Result
from clip_mamba.tables import seeds
from clip_mamba.tables.consistency import CUE_CONFLICT
from clip_mamba.tables.select import detail, sources
from clip_mamba.tables.trials import Trials

#: With fewer decisions for shape or texture a category's shape bias says nothing.
FEW = 5

#: Why there is no shape bias.
UNDECIDED = "no decision followed shape or texture"


def shape_rows(model: str, runs: list[Result]) -> list[dict[str, Any]]:
    """Return the shape bias and its decisions, overall and where measured per category.

    Args:
        model: The model.
        runs: Its results on the cue conflict, one per seed.

    Returns:
        Rows of the quantities ``shape-bias`` and ``shape-decisions``.
    """
    shared = {
        "condition": CUE_CONFLICT,
        "excluded": False,
        "model": model,
        "examples": max((run.examples for run in runs), default=0),
        "source": sources(runs),
    }
    found = [detail(run.details, "cue_conflict") or {} for run in runs]
    categories = sorted({name for cue in found for name in cue.get("per_category") or {}})
    rows = [_bias(found, [run.reason or UNDECIDED for run in runs])]
    rows += [_category_bias(found, name) for name in categories]
    rows += [_decisions(runs, name) for name in ["", *categories]]
    return [{**shared, **row} for row in rows]


def _bias(found: Sequence[Mapping[str, Any]], reasons: list[str]) -> dict[str, Any]:
    values, bounds = ([cue.get(key) for cue in found] for key in ("shape_bias", "interval"))
    estimate = seeds.combine(values, bounds, reasons, (0, 1))
    row = {"quantity": "shape-bias", "level": "", "seeds": estimate.seeds}
    return row | estimate.row() | {"reason": estimate.reason}


def _category_bias(found: Sequence[Mapping[str, Any]], category: str) -> dict[str, Any]:
    values = [detail(cue, "per_category", category, "shape_bias") for cue in found]
    known = [value for value in values if value is not None]
    return {
        "quantity": "shape-bias", "level": category, "seeds": len(known),
        "value": float(np.mean(known)) if known else None,
        "reason": None if known else UNDECIDED,
    }  # fmt: skip


def _decisions(runs: Sequence[Result], category: str) -> dict[str, Any]:
    """Return how many decisions followed shape or texture, a mean over seeds."""
    counts = [count for run in runs if (count := _count(run, category)) is not None]
    return {
        "quantity": "shape-decisions", "level": category, "seeds": len(counts),
        "value": float(np.mean(counts)) if counts else None,
        "reason": None if counts else "not measured",
    }  # fmt: skip


def _count(run: Result, category: str) -> int | None:
    """Return the decisions of a run from their shares; of all categories if none is named."""
    cue = detail(run.details, "cue_conflict")
    pictures: int | None = run.examples
    if category:
        cue = detail(run.details, "cue_conflict", "per_category", category)
        pictures = detail(run.details, "categories", category, "examples")
    shares = [detail(cue or {}, name) for name in ("shape", "texture")]
    if pictures is None or None in shares:
        return None
    return round(sum(shares) * pictures)


def guessed_rows(trials: Trials, chance: float | None) -> list[dict[str, Any]]:
    """Return how many decisions for shape or texture guessing would give.

    Args:
        trials: From :func:`clip_mamba.tables.read_trials`.
        chance: One over the number of categories.

    Returns:
        One row, over the pictures whose texture is of another category; none without trials.
    """
    shown = next((sets[CUE_CONFLICT] for sets in trials.values() if CUE_CONFLICT in sets), None)
    if shown is None or chance is None:
        return []
    conflicts = (shown["imagename"].map(texture_category) != shown["category"]).sum()
    return [{
        "quantity": "guessed-decisions", "condition": CUE_CONFLICT, "level": "",
        "excluded": False, "model": "", "examples": len(shown), "value": 2 * chance * conflicts,
    }]  # fmt: skip
