"""The original report's claims as measurable statements, and what the results say about them."""

from clip_mamba.claims.comparisons import COLUMNS, evaluate
from clip_mamba.claims.evidence import Evidence, gather
from clip_mamba.claims.verdicts import (
    AT_CHANCE,
    CONTRADICTED,
    INCONCLUSIVE,
    MIXED,
    STATEMENTS,
    SUPPORTED,
    UNTESTED,
    summary,
)

__all__ = [
    "AT_CHANCE",
    "COLUMNS",
    "CONTRADICTED",
    "INCONCLUSIVE",
    "MIXED",
    "STATEMENTS",
    "SUPPORTED",
    "UNTESTED",
    "Evidence",
    "evaluate",
    "gather",
    "summary",
]
