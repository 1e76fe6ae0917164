"""Rows of the table of robustness: the answer that a model gives most often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from clip_mamba.ood.benchmark import included
from clip_mamba.tables.trials import Trials


def favourite_rows(
    trials: Trials, models: Sequence[str], left_out: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    """Return each model's most frequent answer per condition, as models may favour a category.

    Args:
        trials: From :func:`clip_mamba.tables.read_trials`.
        models: The models, in the order of the table.
        left_out: Levels that do not count, by condition.

    Returns:
        Rows of the quantity ``favourite-answer``: the answer as level and its share, over the
        trials of all seeds together.
    """
    rows = []
    for condition in dict.fromkeys(name for sets in trials.values() for name in sets):
        for model in models:
            runs = [
                included(sets[condition], condition, left_out)["object_response"]
                for run, sets in trials.items()
                if run[0] == model and condition in sets
            ]
            # By name first, so that of equally frequent answers always the same one is taken.
            shares = pd.concat(runs or [pd.Series(dtype=str)]).value_counts(normalize=True)
            if len(shares):
                answer = shares.sort_index().idxmax()
                rows.append({
                    "quantity": "favourite-answer", "condition": condition, "level": str(answer),
                    "excluded": False, "model": model, "seeds": len(runs),
                    "value": float(shares[answer]),
                })  # fmt: skip
    return rows
