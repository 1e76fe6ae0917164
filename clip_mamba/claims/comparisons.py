"""One comparison of a Mamba model with a ViT per row, on the same examples or mini-batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from clip_mamba import style
from clip_mamba.claims.evidence import Evidence, Scores
from clip_mamba.claims.paired import holm, mean_over_tasks, per_batch
from clip_mamba.claims.verdicts import UNTESTED, judge, judge_parity
from clip_mamba.statistics import Difference, paired_difference
from clip_mamba.tables.differences import matched
from clip_mamba.variants import named, variant

COLUMNS = (
    "comparison", "claim", "quantity", "model", "other", "size_ratio", "value", "low", "high",
    "margin", "p", "p_holm", "test", "verdict", "source",
)  # fmt: skip

#: The conditions on which the original report finds Mamba ahead.
CONDITIONS = ("contrast", "high-pass")
#: Sharpness and non-convexity.
QUANTITIES = ("lambda_max", "negative_mass")
#: Of the ViT's parameters, what a Mamba model may have to be called efficient.
QUARTER = 0.25

#: (Mamba, ViT) -> the difference, and for claims of parity the margin; None if not measured.
Compare = Callable[[str, str], tuple[Difference, float | None] | None]


def evaluate(evidence: Evidence, recipe: str = "fair") -> pd.DataFrame:
    """Compare Mamba with ViT on each claim, once for the study's recipe and for each variant.

    Args:
        evidence: From :func:`clip_mamba.claims.gather`.
        recipe: Name of the study's own recipe.

    Returns:
        A row per pair of models with the columns ``COLUMNS``; all differences are Mamba minus
        ViT, p values also adjusted for their number (Holm), within each ``comparison``.
        ``margin`` is how far the ViT's own interval reaches down, where the claim is that Mamba
        does not fall short. A variant's comparison holds the pairs in which a model is of the
        variant; where one has none, the study's own stands in.
    """
    rows = []
    for name, sizes in _comparisons(evidence.sizes).items():
        own = [row for row in _compare(evidence, sizes) if name in _variants(row)]
        for row, adjusted in zip(own, holm([row["p"] for row in own]), strict=True):
            row["comparison"] = name or recipe
            row["p_holm"] = adjusted
            row["verdict"] = _verdict(row)
        rows += own
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _comparisons(sizes: dict[str, int]) -> dict[str, dict[str, int]]:
    """Return sizes of the models that are compared, by variant."""
    own = [model for model in sizes if not variant(model)]
    names = dict.fromkeys(["", *map(variant, sizes)])
    chosen = {
        name: [named(m, name) if named(m, name) in sizes else m for m in own] for name in names
    }
    return {name: {model: sizes[model] for model in models} for name, models in chosen.items()}


def _variants(row: dict[str, Any]) -> set[str]:
    return {variant(row["model"]), variant(row["other"])}


def _compare(evidence: Evidence, sizes: dict[str, int]) -> list[dict[str, Any]]:
    """Return a row per claim, quantity and pair, without verdicts."""
    mambas = [model for model in sizes if style.is_mamba(model)]
    vits = [model for model in sizes if style.family(model) == "ViT"]
    if not mambas or not vits:
        return []
    largest = max(vits, key=lambda model: sizes[model])
    smaller = {m: largest for m in mambas if sizes[m] < sizes[largest]}
    near = matched(sizes)
    rows = _rows("efficiency", "mean zero-shot", smaller, sizes, _zero_shot(evidence))
    for condition in CONDITIONS:
        rows += _rows("robustness", condition, near, sizes, _condition(evidence, condition))
    for quantity in QUANTITIES:
        rows += _rows("landscape", quantity, near, sizes, _curvature(evidence, quantity))
    return rows


def _rows(
    claim: str, quantity: str, pairs: dict[str, str], sizes: dict[str, int], compare: Compare
) -> list[dict[str, Any]]:
    rows = []
    for mamba, vit in pairs.items():
        compared = compare(mamba, vit)
        if compared is not None:
            found, margin = compared
            rows.append({
                "claim": claim, "quantity": quantity, "model": mamba, "other": vit,
                "size_ratio": sizes[mamba] / sizes[vit], "value": found.value,
                "low": found.low, "high": found.high, "p": found.p, "test": found.method,
                "margin": margin,
                "source": _SOURCES[claim].format(quantity=quantity),
            })  # fmt: skip
    return rows


_SOURCES = {
    "efficiency": "zeroshot/{{model,other}}-*/*.parquet",
    "robustness": "ood/{{model,other}}-*/{quantity}.csv",
    "landscape": "hessian/{{model,other}}-*.json",
}


def _verdict(row: dict[str, Any]) -> str:
    if row["claim"] != "efficiency":
        return judge(row["value"], row["p_holm"])
    if row["size_ratio"] > QUARTER:
        return UNTESTED
    return judge_parity(row["value"], row["p_holm"], row["margin"])


def _shared(evidence: Evidence, mamba: str, vit: str) -> list[Scores]:
    return [t for t in evidence.tasks.values() if mamba in t.by_model and vit in t.by_model]


def _zero_shot(evidence: Evidence) -> Compare:
    def compare(mamba: str, vit: str) -> tuple[Difference, float | None] | None:
        shared = _shared(evidence, mamba, vit)
        return mean_over_tasks(shared, mamba, vit) if shared else None

    return compare


def _condition(evidence: Evidence, condition: str) -> Compare:
    def compare(mamba: str, vit: str) -> tuple[Difference, float | None] | None:
        own = evidence.conditions.get(condition)
        if own is None or mamba not in own.by_model or vit not in own.by_model:
            return None
        return paired_difference(own.by_model[mamba], own.by_model[vit], own.units), None

    return compare


def _curvature(evidence: Evidence, quantity: str) -> Compare:
    def compare(mamba: str, vit: str) -> tuple[Difference, float | None] | None:
        own = evidence.curvature.get(quantity, {})
        if mamba not in own or vit not in own or own[mamba].shape[1] < 2:
            return None
        return per_batch(own[mamba], own[vit]), None

    return compare
