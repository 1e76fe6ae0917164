"""The table that says where in a model the sharpness is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from clip_mamba import style
from clip_mamba.results import Result
from clip_mamba.tables import cells, seeds
from clip_mamba.tables.select import by_task, detail, models_of, sources

COLUMNS = (
    "model", "task", "quantity", "parameters", "seeds", "batches", "value", "low", "high",
    "converged", "reason", "source",
)  # fmt: skip

#: Blocks that every model may have; a model's stages (a ViT's layers) come between stem and head.
SHARED = ("image", "text", "stem", "head", "scan")
QUANTITIES = ("lambda_max", "lambda_min", "trace", "top_share")


def hessian_blocks(
    results: Sequence[Result], *, models: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return one row per model, block of parameters and quantity.

    Args:
        results: Results; those of kind ``hessian`` count.
        models: Models that have rows even if they were not measured.

    Returns:
        A table with the columns ``COLUMNS``: ``task`` is the block; ``top_share`` is the part of
        the squared length of the whole Hessian's top eigenvector that lies in the block.
    """
    runs: dict[str, list[Result]] = {}
    for (model, _), found in by_task(results, "hessian").items():
        runs.setdefault(model, []).extend(found)
    rows = []
    for model in models_of([r for found in runs.values() for r in found], models):
        own = runs.get(model, [])
        named = [name for run in own for name in detail(run.details, "blocks") or {}]
        for block in dict.fromkeys([*SHARED, *named]):
            rows += [_row(model, block, quantity, own) for quantity in QUANTITIES]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(model: str, block: str, quantity: str, runs: list[Result]) -> dict[str, Any]:
    summaries = [detail(run.details, "blocks", block) or {} for run in runs]
    figures = [_figure(run, block, quantity) for run in runs]
    estimate = seeds.combine(
        [figure.get("mean") for figure in figures],
        [figure.get("interval") for figure in figures],
        [run.reason for run in runs],
    )
    flags = [f for s in summaries for f in np.ravel(s.get("largest_converged", []))]
    first = next((s for s in summaries if s), {})
    return {
        "model": model,
        "task": block,
        "quantity": quantity,
        "parameters": first.get("parameters"),
        "seeds": estimate.seeds,
        "batches": first.get("batches"),
        **estimate.row(),
        "converged": float(np.mean(flags)) if flags else None,
        "reason": estimate.reason,
        "source": sources(runs),
    }


def _figure(run: Result, block: str, quantity: str) -> dict[str, Any]:
    if quantity != "top_share":
        return detail(run.details, "blocks", block, "figures", quantity) or {}
    shares = detail(run.details, "eigenvalues", "shares", block)
    return {} if shares is None else {"mean": float(np.mean([row[0] for row in shares]))}


def hessian_blocks_context(frame: pd.DataFrame) -> dict[str, Any]:
    """Return what the template shows: models down, blocks across, stages in one column.

    Args:
        frame: From :func:`hessian_blocks`.

    Returns:
        Headings, rows of cells and notes.
    """
    rows = []
    for model in style.ordered(frame["model"]):
        own = frame[frame["model"] == model].pivot_table(
            index="task", columns="quantity", values="value", sort=False, dropna=False
        )
        stages = [name for name in own.index if re.fullmatch(r"stage-\d+", name)]
        sharpest = None
        if stages and own.loc[stages, "lambda_max"].notna().any():
            sharpest = str(own.loc[stages, "lambda_max"].idxmax())
        shown = ["image", "text", "stem", sharpest, "head", "scan"]
        rows.append({
            "model": style.label(model),
            "cells": [_cell(own, name, name == sharpest) for name in shown],
        })
    known = frame.dropna(subset="batches")
    measured = known["batches"].iloc[0] if len(known) else None
    return {
        "headings": ["image", "text", "stem", "sharpest stage", "head", "scan"],
        "rows": rows,
        "batches": cells.count(measured),
        "missing": not len(known),
    }


def _cell(own: pd.DataFrame, block: str | None, named: bool) -> cells.Tex:
    if block is None or block not in own.index or not cells.known(own.loc[block, "lambda_max"]):
        return cells.MISSING
    top, share = own.loc[block, "lambda_max"], own.loc[block, "top_share"]
    below = cells.Tex(rf"{cells.percent(share, 0)}\,\%")
    number = f" ({block.removeprefix('stage-')})" if named else ""
    return cells.stacked(cells.Tex(f"{cells.significant(top)}{number}"), below)
