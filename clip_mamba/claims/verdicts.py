"""From differences to verdicts."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

SUPPORTED, CONTRADICTED, INCONCLUSIVE = "supported", "contradicted", "inconclusive"
#: No pair of models of the study is of the sizes that the claim is about.
UNTESTED = "not tested"
ALPHA = 0.05

#: What the original claims, as statements that can be measured; by claim.
STATEMENTS = {
    "efficiency": (
        "A Mamba model of at most a quarter of the parameters lies within or above the largest "
        "ViT's interval on the zero-shot average."
    ),
    "robustness": (
        "On changed contrast and on high-pass filtered pictures a Mamba model is more accurate "
        "than the ViT nearest in size."
    ),
    "landscape": (
        "The Hessian of a Mamba model has a larger greatest eigenvalue and more negative mass "
        "than that of the ViT nearest in size."
    ),
}


@dataclass(frozen=True)
class Summary:
    """How the pairs of models came out on one claim, in one comparison."""

    comparison: str
    claim: str
    statement: str
    verdict: str
    total: int
    supported: int
    contradicted: int
    inconclusive: int


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


def judge_parity(value: float, p: float, margin: float) -> str:
    """Judge a claim that a model does not fall behind by more than a margin.

    Args:
        value: The difference.
        p: Its two-sided p value, adjusted for the number of tests.
        margin: How far below zero still counts as level: down to the other's lower bound.

    Returns:
        Contradicted if it is behind beyond chance; supported if within the margin or ahead.
    """
    if value < 0 and p < ALPHA:
        return CONTRADICTED
    return SUPPORTED if value >= -margin else INCONCLUSIVE


def summary(frame: pd.DataFrame) -> list[Summary]:
    """Put the pairs of models of each comparison and claim together.

    Args:
        frame: From :func:`clip_mamba.claims.evaluate`.

    Returns:
        One summary per comparison and claim, the study's own comparison first with every claim.
        A claim is supported if a pair supports it and none contradicts it, contradicted if it is
        the other way round, else inconclusive.
    """
    found = []
    for place, comparison in enumerate(dict.fromkeys(frame["comparison"]) or [""]):
        own = frame[frame["comparison"] == comparison]
        for claim in STATEMENTS:
            verdicts = list(own[own["claim"] == claim]["verdict"])
            if verdicts or not place:
                found.append(_summary(str(comparison), claim, verdicts))
    return found


def _summary(comparison: str, claim: str, verdicts: list[str]) -> Summary:
    tested = [verdict for verdict in verdicts if verdict != UNTESTED]
    counts = {v: tested.count(v) for v in (SUPPORTED, CONTRADICTED, INCONCLUSIVE)}
    if not tested:
        verdict = UNTESTED
    elif counts[SUPPORTED] and not counts[CONTRADICTED]:
        verdict = SUPPORTED
    elif counts[CONTRADICTED] and not counts[SUPPORTED]:
        verdict = CONTRADICTED
    else:
        verdict = INCONCLUSIVE
    return Summary(comparison, claim, STATEMENTS[claim], verdict, len(tested), *counts.values())
