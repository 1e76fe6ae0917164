"""From differences to verdicts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pandas as pd

SUPPORTED, CONTRADICTED, INCONCLUSIVE = "supported", "contradicted", "inconclusive"
#: Of a claim for which some pairs of models speak, and others against it.
MIXED = "mixed"
#: Not judged: no pair of models of the study is of the sizes that the claim is about.
UNTESTED = "not tested"
#: Not judged: neither model does better than guessing.
AT_CHANCE = "at chance"
ALPHA = 0.05

#: What the original claims, as statements that can be measured; by claim.
STATEMENTS = {
    "efficiency": (
        "A Mamba model of at most a quarter of the parameters does not fall behind the largest ViT "
        "on the zero-shot average by more than that ViT's own interval reaches down."
    ),
    "robustness": (
        "On changed contrast and on high-pass filtered pictures a Mamba model is more accurate "
        "than the ViT nearest in size."
    ),
    "sharpness": (
        "The Hessian of a Mamba model has a larger greatest eigenvalue than that of the ViT "
        "nearest in size."
    ),
    "non-convexity": (
        "The Hessian of a Mamba model has a more negative least eigenvalue, and more negative "
        "mass, than that of the ViT nearest in size."
    ),
}


@dataclass(frozen=True)
class Summary:
    """How the pairs of models came out on one claim, in one comparison."""

    comparison: str
    claim: str
    statement: str
    verdict: str
    #: Pairs that were judged, and how many of them came out how.
    total: int
    supported: int
    contradicted: int
    inconclusive: int
    #: Judged pairs whose value lies in the claim's direction, significant or not.
    toward: int
    #: Pairs that were not judged, and why.
    unjudged: dict[str, int]


def judge(value: float, p: float) -> str:
    """Judge a claim that a difference is above zero.

    Args:
        value: The difference.
        p: Its two-sided p value, adjusted for the number of tests.

    Returns:
        A verdict.
    """
    if p >= ALPHA:
        return INCONCLUSIVE
    return SUPPORTED if value > 0 else CONTRADICTED


def judge_parity(value: float, low: float, p: float, margin: float) -> str:
    """Judge a claim that a model does not fall behind by more than a margin (non-inferiority).

    Args:
        value: The difference.
        low: Lower bound of its 95 % interval.
        p: Its two-sided p value, adjusted for the number of tests.
        margin: How far below zero still counts as level: down to the other's lower bound.

    Returns:
        Supported if the whole interval lies above minus the margin; contradicted if the model is
        behind by more than the margin, and behind beyond chance.
    """
    if low >= -margin:
        return SUPPORTED
    return CONTRADICTED if value < -margin and p < ALPHA else INCONCLUSIVE


def summary(frame: pd.DataFrame) -> list[Summary]:
    """Put the pairs of models of each comparison and claim together.

    Args:
        frame: From :func:`clip_mamba.claims.evaluate`.

    Returns:
        One summary per comparison and claim, the study's own comparison first with every claim.
        A claim is supported if more than half of the judged pairs support it and none contradicts
        it, contradicted if it is the other way round, mixed if some do either, else inconclusive.
    """
    found = []
    for place, comparison in enumerate(dict.fromkeys(frame["comparison"]) or [""]):
        own = frame[frame["comparison"] == comparison]
        for claim in STATEMENTS:
            rows = own[own["claim"] == claim]
            if len(rows) or not place:
                found.append(_summary(str(comparison), claim, rows))
    return found


def _summary(comparison: str, claim: str, rows: pd.DataFrame) -> Summary:
    aside = rows["verdict"].isin([UNTESTED, AT_CHANCE])
    judged, unjudged = rows[~aside], dict(Counter(rows[aside]["verdict"]))
    supported, contradicted, inconclusive = (
        int((judged["verdict"] == verdict).sum())
        for verdict in (SUPPORTED, CONTRADICTED, INCONCLUSIVE)
    )
    return Summary(
        comparison=comparison,
        claim=claim,
        statement=STATEMENTS[claim],
        verdict=_overall(len(judged), supported, contradicted)
        if len(judged)
        else next(iter(unjudged), UNTESTED),
        total=len(judged),
        supported=supported,
        contradicted=contradicted,
        inconclusive=inconclusive,
        toward=int((judged["value"] > judged["null"]).sum()),
        unjudged=unjudged,
    )


def _overall(total: int, supported: int, contradicted: int) -> str:
    if supported and contradicted:
        return MIXED
    if 2 * supported > total:
        return SUPPORTED
    return CONTRADICTED if 2 * contradicted > total else INCONCLUSIVE
