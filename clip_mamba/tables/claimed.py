"""The table of the original's claims."""

from __future__ import annotations

from typing import Any

import pandas as pd

from clip_mamba import style
from clip_mamba.claims.verdicts import ALPHA, AT_CHANCE, UNTESTED, summary
from clip_mamba.tables import cells
from clip_mamba.tables.tex import Tex

#: What the quantities are called; differences are in percentage points.
_HEADINGS = {
    "lambda_max": Tex(r"$\lambda_{\max}$, ratio"),
    "lambda_min": Tex(r"$\lambda_{\min}$, ratio"),
    "negative_mass": Tex("negative mass"),
}


def claims_context(frame: pd.DataFrame) -> dict[str, Any]:
    """Return what the template shows: comparisons by claim, and each claim's verdict.

    Args:
        frame: From :func:`clip_mamba.claims.evaluate`.

    Returns:
        By comparison, groups of rows with the claim's statement and verdict; the tests; notes.
    """
    comparisons: dict[str, list[dict[str, Any]]] = {}
    for result in summary(frame):
        own = frame[(frame["comparison"] == result.comparison) & (frame["claim"] == result.claim)]
        comparisons.setdefault(result.comparison, []).append({
            "claim": result.claim,
            "statement": result.statement,
            "verdict": result.verdict,
            "rows": [_row(row) for row in own.to_dict("records")],
        })
    return {
        "comparisons": comparisons,
        "tests": _tests(frame),
        "alpha": f"{ALPHA:g}",
        "untested": UNTESTED in set(frame["verdict"]),
        "at_chance": AT_CHANCE in set(frame["verdict"]),
        "margin": cells.percent(frame["margin"].dropna().max() if len(frame) else None),
    }


def _tests(frame: pd.DataFrame) -> list[str]:
    """Return which tests were made for which claims."""
    claims: dict[str, list[str]] = {}
    for claim, test in frame[["claim", "test"]].drop_duplicates().itertuples(index=False):
        claims.setdefault(test, []).append(claim)
    return [f"{', '.join(names)}: {test}" for test, names in claims.items()]


def _row(row: dict[str, Any]) -> dict[str, Any]:
    ratio = row["null"] == 1
    factor, digits = (1, 2) if ratio else (100, 1)
    return {
        "quantity": _HEADINGS.get(row["quantity"], row["quantity"]),
        "mamba": style.label(row["model"]),
        "vit": style.label(row["other"]),
        "ratio": cells.fixed(row["size_ratio"], 2),
        "value": cells.fixed(row["value"], digits, factor),
        "interval": cells.interval(row["low"], row["high"], digits, factor),
        "p": _probability(row["p_holm"]),
        "verdict": row["verdict"],
    }


def _probability(p: float) -> Tex:
    if not cells.known(p):
        return cells.MISSING
    return Tex("$<$0.001") if p < 0.001 else Tex(f"{p:.3f}")
