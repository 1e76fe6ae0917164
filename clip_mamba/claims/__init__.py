"""The original report's claims as measurable statements, and what the results say about them."""

from clip_mamba.claims.comparisons import COLUMNS, evaluate
from clip_mamba.claims.evidence import Evidence, gather
from clip_mamba.claims.verdicts import (
    CONTRADICTED,
    INCONCLUSIVE,
    STATEMENTS,
    SUPPORTED,
    summary,
)

__all__ = [
    "COLUMNS",
    "CONTRADICTED",
    "INCONCLUSIVE",
    "STATEMENTS",
    "SUPPORTED",
    "Evidence",
    "evaluate",
    "gather",
    "summary",
]
