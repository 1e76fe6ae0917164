"""The table of models: sizes, and how pretraining went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from clip_mamba import style
from clip_mamba.results import Result
from clip_mamba.tables import cells, seeds
from clip_mamba.tables.select import by_task, detail, models_of, sources

COLUMNS = (
    "model", "family", "image_parameters", "text_parameters", "seeds", "steps", "pairs",
    "pairs_per_second", "minutes", "value", "low", "high", "metric", "reason", "source",
)  # fmt: skip


def models(results: Sequence[Result], *, models: Sequence[str] | None = None) -> pd.DataFrame:
    """Return one row per model.

    Args:
        results: Results; those of kind ``pretrain`` count.
        models: Models that have a row even if they were not pretrained.

    Returns:
        A table with the columns ``COLUMNS``; ``value`` is the final training loss, and rates
        and times are means over seeds.
    """
    groups = by_task(results, "pretrain")
    runs: dict[str, list[Result]] = {}
    for (model, _), found in groups.items():
        runs.setdefault(model, []).extend(found)
    names = models_of([run for found in runs.values() for run in found], models)
    rows = [_row(model, runs.get(model, [])) for model in names]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(model: str, runs: list[Result]) -> dict[str, Any]:
    loss = seeds.combine(
        [run.value for run in runs], [run.interval for run in runs], [run.reason for run in runs]
    )
    row: dict[str, Any] = {
        "model": model,
        "family": style.family(model),
        "seeds": len(runs),
        **loss.row(),
        "reason": loss.reason,
        "source": sources(runs),
    }
    if runs:
        row |= {
            "image_parameters": runs[0].image_parameters,
            "text_parameters": runs[0].text_parameters,
            "minutes": sum(run.seconds for run in runs) / len(runs) / 60,
            "metric": runs[0].metric,
        }
        for name in ("steps", "pairs", "pairs_per_second"):
            found = [v for run in runs if (v := detail(run.details, name)) is not None]
            row[name] = sum(found) / len(found) if found else None
    return row


def models_context(frame: pd.DataFrame) -> dict[str, Any]:
    """Return what the template shows.

    Args:
        frame: From :func:`models`.

    Returns:
        Rows of cells and notes.
    """
    missing: dict[str, list[str]] = {}
    rows = []
    for row in frame.to_dict("records"):
        if reason := cells.text(row["reason"]):
            missing.setdefault(reason, []).append(row["model"])
        rows.append({
            "model": style.label(row["model"]),
            "family": row["family"],
            "image": cells.count(row["image_parameters"]),
            "text": cells.count(row["text_parameters"]),
            "seeds": cells.count(row["seeds"]),
            "pairs": cells.count(row["pairs"]),
            "rate": cells.count(row["pairs_per_second"]),
            "minutes": cells.fixed(row["minutes"]),
            "loss": cells.fixed(row["value"], 3),
        })
    return {"rows": rows, "notes": cells.notes(missing)}
