"""What the report says of the Hessian."""

from __future__ import annotations

from typing import Any

import pandas as pd

from clip_mamba.tables import cells


def hessian(frame: pd.DataFrame) -> dict[str, Any] | None:
    """Return what the prose says of the Hessian.

    Args:
        frame: From :func:`clip_mamba.tables.hessian`.

    Returns:
        The context; ``None`` if nothing was measured.
    """
    own = frame[(frame["quantity"] == "lambda_max") & frame["value"].notna()]
    if own.empty:
        return None
    sharp = own.loc[own["value"].astype(float).idxmax()]
    flat = own.loc[own["value"].astype(float).idxmin()]
    return {
        "batches": cells.count(own["batches"].iloc[0]),
        "batch_size": cells.count(own["batch_size"].iloc[0]),
        "sharpest": {"model": sharp["model"], "value": cells.significant(sharp["value"])},
        "flattest": {"model": flat["model"], "value": cells.significant(flat["value"])},
    }
