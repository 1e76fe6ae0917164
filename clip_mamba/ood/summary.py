"""From trials on one set to a result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from clip_mamba.corruptions import EXCLUDED_LEVELS, LEVELS, is_control, normalise_level
from clip_mamba.data.categories import CATEGORIES
from clip_mamba.files import sha256
from clip_mamba.ood import metrics
from clip_mamba.ood.trials import base_image
from clip_mamba.results import Result


def demo_excluded(condition: str, levels: Iterable[str]) -> tuple[str, ...]:
    """Return the levels that headline numbers leave out at demo scale: the controls.

    No person saw these stimuli, so none is left out for being hopeless.

    Args:
        condition: The set.
        levels: Its levels.

    Returns:
        The undistorted ones.
    """
    return tuple(level for level in levels if is_control(condition, level))


def in_order(condition: str, levels: Iterable[str]) -> list[str]:
    """Return the levels that there are, from weakest to strongest.

    Args:
        condition: The set.
        levels: Levels, repeated and in any order, as the released stimuli have them.

    Returns:
        Each once: in the published order if all were published, else as they first occur, which
        is the configuration's order in sets that were made here.
    """
    found = list(dict.fromkeys(levels))
    published = LEVELS.get(condition, ())
    return sorted(found, key=published.index) if set(found) <= set(published) else found


def summarise(
    trials: pd.DataFrame,
    condition: str,
    *,
    stimuli_tar: str | Path,
    scale: str,
    excluded: Sequence[str] | None = None,
    decision: str = "16 category names",
    split: str = "held-out objects",
    **fields: Any,
) -> Result:
    """Turn a model's trials on a set into a result.

    Args:
        trials: From :func:`clip_mamba.ood.evaluate`.
        condition: The set.
        stimuli_tar: The set that was shown.
        scale: ``demo`` or ``paper``.
        excluded: Levels that do not enter the value; the benchmark's at paper scale and the
            controls at demo scale if left out.
        decision: How the model decided, in words.
        split: What the stimuli were made from, in words.
        **fields: The other fields of :class:`Result` that describe model and run.

    Returns:
        A result of kind ``ood``: the mean accuracy over the included levels, with details.
    """
    kept, details = _included(trials, condition, scale, excluded)
    details |= {"decision": decision, "chance": 1 / len(CATEGORIES)}
    return Result(
        kind="ood",
        scale=scale,
        task=condition,
        split=split,
        examples=len(kept),
        metric="accuracy",
        value=metrics.accuracy(kept) if len(kept) else None,
        reason=None if len(kept) else "no level is left that is not excluded",
        interval=metrics.accuracy_interval(kept) if len(kept) else None,
        interval_method="percentile bootstrap, 1000 resamples of base objects",
        details=details,
        data_sha256=sha256(stimuli_tar),
        **({"seconds": 0.0} | fields),
    )


def _included(
    trials: pd.DataFrame, condition: str, scale: str, excluded: Sequence[str] | None
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the trials at included levels, and accuracies by level and category."""
    levels = in_order(condition, trials["condition"])
    if excluded is None:
        published = EXCLUDED_LEVELS.get(condition, ())
        excluded = published if scale == "paper" else demo_excluded(condition, levels)
    left_out = {normalise_level(condition, level) for level in excluded}
    kept = trials[~trials["condition"].map(lambda level: level in left_out)]
    details: dict[str, Any] = {
        "levels": [_level(trials, level) for level in levels],
        "excluded_levels": [level for level in levels if level in left_out],
        "categories": _categories(trials),
    }
    if condition == "cue-conflict":
        details["cue_conflict"] = _cue_conflict(kept)
    return kept, details


def _level(trials: pd.DataFrame, level: str) -> dict[str, Any]:
    """Return accuracy and interval at one level."""
    own = trials[trials["condition"] == level]
    return {
        "level": level,
        "examples": len(own),
        "accuracy": metrics.accuracy(own),
        "interval": list(metrics.accuracy_interval(own)),
    }


def _categories(trials: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Return trials and distinct objects of each category, so that thin ones can be named."""
    objects = trials["imagename"].map(base_image)
    grouped = objects.groupby(trials["category"])
    return {
        str(name): {"examples": len(own), "objects": int(own.nunique())} for name, own in grouped
    }


def _cue_conflict(trials: pd.DataFrame) -> dict[str, Any]:
    """Return shape and texture decisions and the shape bias, overall and per category."""
    interval = metrics.shape_bias_interval(trials)
    per_category = {
        str(name): _finite(metrics.shape_bias(own)) for name, own in trials.groupby("category")
    }
    return {
        **_finite(metrics.shape_bias(trials)),
        "interval": None if interval is None else list(interval),
        "per_category": per_category,
    }


def _finite(bias: Mapping[str, float]) -> dict[str, float | None]:
    """Return keys and values as JSON has them: underscores, and null for what is undefined."""
    return {
        key.replace(" ", "_"): value if np.isfinite(value) else None for key, value in bias.items()
    }
