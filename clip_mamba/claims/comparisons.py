"""The original report's claims as quantities, and what the results say about them.

Each row compares a Mamba model with a ViT. The interval of a difference adds the half-widths of
both models' intervals in quadrature, as if they had been measured on different examples; they
share them, so it is wide rather than narrow. Several comparisons are made side by side without
a correction for their number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pandas as pd

from clip_mamba import style

COLUMNS = ("claim", "quantity", "mamba", "vit", "size_ratio", "value", "low", "high", "verdict")

#: Verdicts, by where zero lies relative to the interval of (Mamba - ViT).
SUPPORTED, CONTRADICTED, INCONCLUSIVE = "supported", "contradicted", "inconclusive"

#: The conditions on which the original report finds Mamba ahead.
CONDITIONS = ("contrast", "high-pass")

#: Sharpness and non-convexity, as columns of the Hessian table.
QUANTITIES = ("lambda_max", "negative_mass")

_Estimate = tuple[float, float, float]  # value, low, high


def evaluate(zeroshot: pd.DataFrame, ood: pd.DataFrame, hessian: pd.DataFrame) -> pd.DataFrame:
    """Compare Mamba with ViT on each claim.

    Args:
        zeroshot: From :func:`clip_mamba.tables.zeroshot`.
        ood: From :func:`clip_mamba.tables.ood`.
        hessian: From :func:`clip_mamba.tables.hessian`.

    Returns:
        A row per comparison with the columns ``COLUMNS``; all differences are Mamba minus ViT.
    """
    sizes = _sizes(zeroshot)
    mambas = [model for model in sizes if style.is_mamba(model)]
    vits = [model for model in sizes if style.family(model) == "ViT"]
    rows: list[dict[str, object] | None] = []
    if mambas and vits:
        largest = max(vits, key=lambda model: sizes[model])
        accuracy = partial(_mean_accuracy, zeroshot)
        smaller = {m: largest for m in mambas if sizes[m] < sizes[largest]}
        rows += _rows("efficiency", "mean zero-shot", smaller, sizes, accuracy)
        matched = {m: min(vits, key=lambda v: _distance(sizes[v], sizes[m])) for m in mambas}
        for condition in CONDITIONS:
            measure = partial(_headline, ood, condition)
            rows += _rows("robustness", condition, matched, sizes, measure)
        for quantity in QUANTITIES:
            measure = partial(_curvature, hessian, quantity)
            rows += _rows("landscape", quantity, matched, sizes, measure)
    return pd.DataFrame([row for row in rows if row], columns=list(COLUMNS))


def _rows(
    claim: str,
    quantity: str,
    pairs: dict[str, str],
    sizes: dict[str, float],
    measure: Callable[[str], _Estimate | None],
) -> list[dict[str, object] | None]:
    return [_row(claim, quantity, mamba, vit, sizes, measure) for mamba, vit in pairs.items()]


def _sizes(zeroshot: pd.DataFrame) -> dict[str, float]:
    known = zeroshot[zeroshot["model"] != style.BASELINE].dropna(subset="image_parameters")
    found = dict(zip(known["model"], known["image_parameters"], strict=True))
    return {model: found[model] for model in style.ordered(found)}


def _distance(one: float, two: float) -> float:
    return abs(math.log(one / two))


def _row(
    claim: str,
    quantity: str,
    mamba: str,
    vit: str,
    sizes: dict[str, float],
    measure: Callable[[str], _Estimate | None],
) -> dict[str, object] | None:
    first, second = measure(mamba), measure(vit)
    if first is None or second is None:
        return None
    value = first[0] - second[0]
    low = value - math.hypot(first[0] - first[1], second[2] - second[0])
    high = value + math.hypot(first[2] - first[0], second[0] - second[1])
    return {
        "claim": claim,
        "quantity": quantity,
        "mamba": mamba,
        "vit": vit,
        "size_ratio": sizes[mamba] / sizes[vit],
        "value": value,
        "low": low,
        "high": high,
        "verdict": SUPPORTED if low > 0 else CONTRADICTED if high < 0 else INCONCLUSIVE,
    }


def _mean_accuracy(zeroshot: pd.DataFrame, model: str) -> _Estimate | None:
    """Return the mean over tasks; its bounds are the means of theirs (never too narrow)."""
    own = zeroshot[zeroshot["model"] == model]
    if own.empty or own[["value", "low", "high"]].isna().any(axis=None):
        return None
    return float(own["value"].mean()), float(own["low"].mean()), float(own["high"].mean())


def _headline(ood: pd.DataFrame, condition: str, model: str) -> _Estimate | None:
    return _single(
        ood[
            (ood["quantity"] == "accuracy")
            & (ood["level"] == "")
            & (ood["condition"] == condition)
            & (ood["model"] == model)
        ]
    )


def _curvature(hessian: pd.DataFrame, quantity: str, model: str) -> _Estimate | None:
    return _single(hessian[(hessian["quantity"] == quantity) & (hessian["model"] == model)])


def _single(rows: pd.DataFrame) -> _Estimate | None:
    measured = rows[["value", "low", "high"]].astype(float).dropna()
    if len(measured) != 1:
        return None
    value, low, high = measured.iloc[0]
    return float(value), float(low), float(high)
