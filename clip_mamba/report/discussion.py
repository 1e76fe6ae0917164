"""What the report discusses: training losses, and what another recipe changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from clip_mamba import style, tables
from clip_mamba.report.words import listed, share
from clip_mamba.results import Result
from clip_mamba.tables import cells
from clip_mamba.tables.averages import averages
from clip_mamba.tables.differences import matched
from clip_mamba.variants import architecture, variant


def losses(frame: pd.DataFrame) -> dict[str, Any] | None:
    """Compare the final training losses of Mamba models with those of the ViTs nearest in size.

    Args:
        frame: From :func:`clip_mamba.tables.models`.

    Returns:
        How many are lower, and which; ``None`` without such pairs.
    """
    known = frame[frame["value"].notna() & frame["image_parameters"].notna()].set_index("model")
    pairs = matched(known["image_parameters"].to_dict())
    if not pairs:
        return None
    lower = [m for m, v in pairs.items() if known.loc[m, "value"] < known.loc[v, "value"]]
    return {
        "lower_in": share(len(lower), len(pairs)),
        "lower": len(lower),
        "pairs": len(pairs),
        "models": listed([style.label(model) for model in lower]),
    }


def effects(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return what changes when a model is pretrained by another recipe.

    Args:
        results: All results, variants (:mod:`clip_mamba.variants`) included.

    Returns:
        By variant: its name, the model, and of each quantity that both were measured on the words
        for it, its unit, and both values, the study's own first.
    """
    found = []
    measured = _measured(results)
    for model in style.ordered(r.model for r in results if variant(r.model)):
        base = architecture(model)
        changes = [
            {"what": what, "own": show(values[base]), "other": show(values[model]), "unit": unit}
            for what, unit, show, values in measured
            if base in values and model in values
        ]
        if changes:
            found.append({"variant": variant(model), "model": base, "changes": changes})
    return found


def _measured(results: Sequence[Result]) -> list[tuple[str, str, Any, dict[str, float]]]:
    """Return words, unit, format and values by model of each quantity."""
    percent = r"\,\%"
    zero_shot = averages(tables.zeroshot(results))
    robust = tables.ood(results)
    robust = robust[robust["quantity"] == "mean-accuracy"]
    curved = tables.hessian(results)
    curved = curved[curved["quantity"] == "lambda_max"]
    return [
        ("mean zero-shot accuracy", percent, cells.percent, _values(zero_shot)),
        ("mean out-of-distribution accuracy", percent, cells.percent, _values(robust)),
        ("largest eigenvalue", "", cells.significant, _values(curved)),
    ]


def _values(frame: pd.DataFrame) -> dict[str, float]:
    known = frame[frame["value"].notna()]
    return dict(zip(known["model"], known["value"].astype(float), strict=True))
