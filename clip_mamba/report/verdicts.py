"""What the report says of the original's claims."""

from __future__ import annotations

from typing import Any

import pandas as pd

from clip_mamba import claims
from clip_mamba.claims.verdicts import Summary

#: How a sentence says a verdict.
_SAID = {
    claims.UNTESTED: "cannot be tested",
    claims.AT_CHANCE: "cannot be told from guessing",
}


def verdicts(claimed: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Return the verdict on every claim, in words.

    Args:
        claimed: From :func:`clip_mamba.claims.evaluate`; ``None`` if nothing was compared.

    Returns:
        By comparison and claim: the names, the verdict, how a sentence says it, and how the pairs
        of models came out.
    """
    found = [] if claimed is None else claims.summary(claimed)
    return [
        {
            "comparison": each.comparison,
            "claim": each.claim,
            "verdict": each.verdict,
            "said": _SAID.get(each.verdict, f"is {each.verdict}"),
            "text": " ".join([*_judged(each), *_aside(each)]) or "No pair was measured.",
        }
        for each in found
    ]


def _judged(summary: Summary) -> list[str]:
    if not summary.total:
        return []
    total = f"Of {summary.total} comparisons" if summary.total > 1 else "Of 1 comparison"
    parts = [
        f"{summary.supported or 'none'} {_verb(summary.supported, 'supports', 'support')} it",
        f"{summary.contradicted or 'none'} "
        f"{_verb(summary.contradicted, 'contradicts', 'contradict')} it",
        f"{summary.inconclusive or 'none'} {_verb(summary.inconclusive, 'is', 'are')} inconclusive",
    ]
    way = f"{summary.toward or 'none'} {_verb(summary.toward, 'points', 'point')} the claimed way"
    return [f"{total}, {', '.join(parts[:2])} and {parts[2]}; {way}."]


def _aside(summary: Summary) -> list[str]:
    found = []
    if count := summary.unjudged.get(claims.UNTESTED):
        found.append(
            f"In {count} more the Mamba model has more than a quarter of the ViT's parameters."
            if summary.total
            else "No Mamba model here has at most a quarter of the largest ViT's parameters."
        )
    if count := summary.unjudged.get(claims.AT_CHANCE):
        more = " more" if summary.total else ""
        pairs = f"{count}{more} pair" + ("s" if count > 1 else "")
        found.append(f"In {pairs} neither model lies above chance, which says nothing of either.")
    return found


def _verb(count: int, one: str, several: str) -> str:
    return several if count > 1 else one
