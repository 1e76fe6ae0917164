"""One comparison of a Mamba model with a ViT per row, on the same examples or mini-batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from clip_mamba import style
from clip_mamba.claims.evidence import Evidence
from clip_mamba.claims.paired import holm, mean_over_tasks, per_batch, ratio_per_batch
from clip_mamba.claims.verdicts import AT_CHANCE, UNTESTED, judge, judge_parity
from clip_mamba.statistics import Difference, paired_difference
from clip_mamba.tables.differences import matched
from clip_mamba.variants import named, variant

COLUMNS = (
    "comparison", "claim", "quantity", "model", "other", "size_ratio", "value", "low", "high",
    "null", "margin", "p", "p_holm", "test", "verdict", "source",
)  # fmt: skip

#: The conditions on which the original report finds Mamba ahead.
CONDITIONS = ("contrast", "high-pass")
#: Figures of the Hessian, by the claim that they are about.
CURVATURE = {"sharpness": ("lambda_max",), "non-convexity": ("lambda_min", "negative_mass")}
QUANTITIES = tuple(quantity for group in CURVATURE.values() for quantity in group)
#: Of the ViT's parameters, what a Mamba model may have to be called efficient.
QUARTER = 0.25

_SOURCES = {
    "efficiency": "zeroshot/{{model,other}}-*/*.parquet",
    "robustness": "ood/{{model,other}}-*/{quantity}.csv",
    **dict.fromkeys(CURVATURE, "hessian/{{model,other}}-*.json"),
}


@dataclass(frozen=True)
class Compared:
    """What is found of one pair of models.

    Attributes:
        found: Mamba minus ViT, or Mamba over ViT.
        null: What ``found`` is without a difference: 0, or 1 of ratios.
        margin: How far the ViT's own interval reaches down, for the claim that Mamba does not
            fall short; else ``None``.
        unjudged: Why the pair says nothing about the claim; ``None`` if it does.
    """

    found: Difference
    null: float = 0
    margin: float | None = None
    unjudged: str | None = None


#: (Mamba, ViT) -> what is found; None if not measured.
Compare = Callable[[str, str], Compared | None]


def evaluate(evidence: Evidence, recipe: str = "fair") -> pd.DataFrame:
    """Compare Mamba with ViT on each claim, once for the study's recipe and for each variant.

    Args:
        evidence: From :func:`clip_mamba.claims.gather`.
        recipe: Name of the study's own recipe.

    Returns:
        A row per pair of models with the columns ``COLUMNS``. ``value`` is Mamba minus ViT where
        ``null`` is 0, Mamba over ViT where it is 1. p values are also adjusted for the number of
        judged rows (Holm), within each ``comparison``. A variant's comparison holds the pairs in
        which a model is of the variant; where one has none, the study's own stands in.
    """
    rows = []
    for name, sizes in _comparisons(evidence.sizes).items():
        own = [row for row in _compare(evidence, sizes) if name in _variants(row)]
        judged = [row for row in own if row["verdict"] is None]
        for row, adjusted in zip(judged, holm([row["p"] for row in judged]), strict=True):
            row["p_holm"] = adjusted
            row["verdict"] = _verdict(row)
        rows += [{**row, "comparison": name or recipe} for row in own]
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
    """Return a row per claim, quantity and pair; verdicts only of pairs that are not judged."""
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
    for claim, quantities in CURVATURE.items():
        for quantity in quantities:
            rows += _rows(claim, quantity, near, sizes, _curvature(evidence, quantity))
    return rows


def _rows(
    claim: str, quantity: str, pairs: dict[str, str], sizes: dict[str, int], compare: Compare
) -> list[dict[str, Any]]:
    rows = []
    for mamba, vit in pairs.items():
        compared = compare(mamba, vit)
        if compared is not None:
            found = compared.found
            rows.append({
                "claim": claim, "quantity": quantity, "model": mamba, "other": vit,
                "size_ratio": sizes[mamba] / sizes[vit], "value": found.value,
                "low": found.low, "high": found.high, "p": found.p, "test": found.method,
                "null": compared.null, "margin": compared.margin, "verdict": compared.unjudged,
                "source": _SOURCES[claim].format(quantity=quantity),
            })  # fmt: skip
    return rows


def _verdict(row: dict[str, Any]) -> str:
    if row["margin"] is not None:
        return judge_parity(row["value"], row["low"], row["p_holm"], row["margin"])
    return judge(row["value"] - row["null"], row["p_holm"])


def _zero_shot(evidence: Evidence) -> Compare:
    def compare(mamba: str, vit: str) -> Compared | None:
        tasks = evidence.tasks.values()
        shared = [t for t in tasks if mamba in t.by_model and vit in t.by_model]
        if not shared:
            return None
        found, margin = mean_over_tasks(shared, mamba, vit)
        large = evidence.sizes[mamba] > QUARTER * evidence.sizes[vit]
        return Compared(found, margin=margin, unjudged=UNTESTED if large else None)

    return compare


def _condition(evidence: Evidence, condition: str) -> Compare:
    def compare(mamba: str, vit: str) -> Compared | None:
        own = evidence.conditions.get(condition)
        if own is None or mamba not in own.by_model or vit not in own.by_model:
            return None
        found = paired_difference(own.by_model[mamba], own.by_model[vit], own.units)
        # Two models that guess differ by nothing, whatever they could have learnt.
        able = evidence.above_chance.get(condition, set()) & {mamba, vit}
        return Compared(found, unjudged=None if able else AT_CHANCE)

    return compare


def _curvature(evidence: Evidence, quantity: str) -> Compare:
    def compare(mamba: str, vit: str) -> Compared | None:
        own = evidence.curvature.get(quantity, {})
        if mamba not in own or vit not in own or own[mamba].shape[1] < 2:
            return None
        one, two = own[mamba], own[vit]
        if quantity == "negative_mass":
            return Compared(per_batch(one, two))
        # Eigenvalues differ by factors: from model to model, and with them from batch to batch.
        sign = -1 if quantity == "lambda_min" else 1
        if np.any(sign * one <= 0) or np.any(sign * two <= 0):
            return None
        return Compared(ratio_per_batch(sign * one, sign * two), null=1)

    return compare
