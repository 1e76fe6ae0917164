"""What the claims are judged by: decisions on single examples, and curvature of single batches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from clip_mamba import style
from clip_mamba.comparison import Scores, task_scores
from clip_mamba.corruptions.levels import EXCLUDED_LEVELS
from clip_mamba.ood.benchmark import included
from clip_mamba.ood.trials import align, base_image, image_id
from clip_mamba.results import Result
from clip_mamba.tables.select import detail, source
from clip_mamba.tables.trials import Trials


@dataclass(frozen=True)
class Evidence:
    """All that the claims need.

    Attributes:
        sizes: Parameters of the image tower by model, in the order of tables.
        tasks: Zero-shot scores by task.
        conditions: Correctness on each included trial, by out-of-distribution condition.
        above_chance: The models whose whole interval lies above chance, by condition.
        curvature: (seeds, batches) of each model, by quantity.
    """

    sizes: dict[str, int]
    tasks: dict[str, Scores]
    conditions: dict[str, Scores]
    above_chance: dict[str, set[str]]
    curvature: dict[str, dict[str, np.ndarray]]


def gather(
    results: Sequence[Result],
    predictions: Iterable[str | Path],
    trials: Trials,
    *,
    conditions: Sequence[str],
    quantities: Sequence[str],
) -> Evidence:
    """Collect the evidence.

    Args:
        results: Results of the scale, of any kind.
        predictions: Parquet files ``.../{model}-{seed}/{task}.parquet``.
        trials: From :func:`clip_mamba.tables.read_trials`.
        conditions: Out-of-distribution conditions that a claim is about.
        quantities: Figures of the Hessian that a claim is about.

    Returns:
        The evidence; what was not measured is left out.
    """
    sizes = {r.model: r.image_parameters for r in results if r.model != style.BASELINE}
    return Evidence(
        sizes={model: sizes[model] for model in style.ordered(sizes)},
        tasks=task_scores(results, predictions),
        conditions=_conditions(results, trials, conditions),
        above_chance={name: _above_chance(results, name) for name in conditions},
        curvature={name: _per_batch(results, name) for name in quantities},
    )


def _conditions(
    results: Sequence[Result], trials: Trials, conditions: Sequence[str]
) -> dict[str, Scores]:
    found = {}
    for condition in conditions:
        own = {run: sets[condition] for run, sets in trials.items() if condition in sets}
        if own:
            found[condition] = _aligned(own, condition, _left_out(results, condition))
    return found


def _above_chance(results: Sequence[Result], condition: str) -> set[str]:
    """Return the models all of whose runs lie above chance with their whole interval."""
    able: dict[str, bool] = {}
    for result in results:
        if result.kind == "ood" and result.task == condition:
            chance = detail(result.details, "chance")
            above = bool(result.interval and chance is not None and result.interval[0] > chance)
            able[result.model] = able.get(result.model, True) and above
    return {model for model, above in able.items() if above}


def _left_out(results: Sequence[Result], condition: str) -> dict[str, Sequence[str]]:
    """Return the levels that do not count, as the results themselves say."""
    for result in results:
        if result.kind == "ood" and result.task == condition:
            said = detail(result.details, "excluded_levels")
            if said is not None:
                return {condition: said}
    return {condition: EXCLUDED_LEVELS.get(condition, ())}


def _aligned(
    runs: Mapping[tuple[str, Any], pd.DataFrame], condition: str, left_out: Mapping[str, Any]
) -> Scores:
    kept = {run: included(table, condition, left_out) for run, table in runs.items()}
    reference = next(iter(kept.values()))
    by_model: dict[str, list[np.ndarray]] = {}
    for (model, _), table in kept.items():
        by_model.setdefault(model, []).append(align(reference, table)[1].astype(float))
    keys = zip(reference["condition"], reference["imagename"].map(image_id), strict=True)
    objects = np.array([base_image(name) for _, name in sorted(keys)])
    stacked = {model: np.stack(rows) for model, rows in by_model.items()}
    return Scores(stacked, objects, np.zeros(len(objects), dtype=np.int64))


def _per_batch(results: Sequence[Result], quantity: str) -> dict[str, np.ndarray]:
    found: dict[str, list[list[float]]] = {}
    drawn: dict[Any, Result] = {}
    for result in sorted(results, key=lambda r: str(r.seed)):
        values = detail(result.details, "figures", quantity, "per_batch")
        if result.kind == "hessian" and values:
            drawn.setdefault(detail(result.details, "pairs", "sha256"), result)
            found.setdefault(result.model, []).append(values)
    if len(drawn) > 1:
        one, other, *_ = (source(result) for result in drawn.values())
        raise ValueError(f"{one} and {other} are of different mini-batches: delete the older one.")
    return {model: np.asarray(rows, float) for model, rows in found.items()}
