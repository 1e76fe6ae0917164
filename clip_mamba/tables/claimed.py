"""The table of the original's claims."""

from __future__ import annotations

from typing import Any

import pandas as pd

from clip_mamba import style
from clip_mamba.claims.verdicts import ALPHA, STATEMENTS, UNTESTED, summary
from clip_mamba.tables import cells
from clip_mamba.tables.tex import Tex

_HEADINGS = {
    "lambda_max": Tex(r"$\lambda_{\max}$"),
    "negative_mass": Tex(r"negative mass / \%"),
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
        "tests": sorted(set(frame["test"])),
        "alpha": f"{ALPHA:g}",
        "untested": UNTESTED in set(frame["verdict"]),
        "claims": list(STATEMENTS),
    }


def _row(row: dict[str, Any]) -> dict[str, Any]:
    # Eigenvalues are what they are; accuracies and masses are shown in percentage points.
    factor, digits = (1, 2) if row["quantity"] == "lambda_max" else (100, 1)
    return {
        "quantity": _HEADINGS.get(row["quantity"], Tex(rf"{row['quantity']} / \%")),
        "mamba": style.label(row["model"]),
        "vit": style.label(row["other"]),
        "ratio": cells.fixed(row["size_ratio"], 2),
        "value": cells.fixed(row["value"], digits, factor),
        "interval": cells.interval(row["low"], row["high"], digits, factor),
        "p": _probability(row["p_holm"]),
        "verdict": row["verdict"],
    }


def _probability(p: float) -> Tex:
    return Tex("$<$0.001") if p < 0.001 else Tex(f"{p:.3f}")
