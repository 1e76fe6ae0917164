"""The table that says where in a model the sharpness is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

#: The whole model on the same mini-batches as its blocks.
WHOLE = "whole"
#: Blocks that every model may have, beside a model's stages (a ViT's layers).
SHARED = ("image", "text", "stem", "head", "scan")
QUANTITIES = ("lambda_max", "lambda_min", "trace", "top_share")
#: Which end of the spectrum a quantity is.
ENDS = {"lambda_max": "largest", "lambda_min": "smallest"}
#: Below this a largest eigenvalue is printed as a power of ten: beside the others it is none.
SMALL = 0.01


def hessian_blocks(
    results: Sequence[Result], *, models: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return one row per model, block of parameters and quantity.

    Args:
        results: Results; those of kind ``hessian`` count.
        models: Models that have rows even if they were not measured.

    Returns:
        A table with the columns ``COLUMNS``: ``task`` is the block, ``whole`` for the whole model
        on the blocks' mini-batches; ``top_share`` is the part of the squared length of the whole
        Hessian's top eigenvector that lies in the block; ``converged`` is the share of the
        mini-batches on which an eigenvalue's residual is within the tolerance.
    """
    runs: dict[str, list[Result]] = {}
    for (model, _), found in by_task(results, "hessian").items():
        runs.setdefault(model, []).extend(found)
    rows = []
    for model in models_of([r for found in runs.values() for r in found], models):
        own = runs.get(model, [])
        named = [name for run in own for name in detail(run.details, "blocks") or {}]
        for block in dict.fromkeys([WHOLE, *SHARED, *named]):
            rows += [_row(model, block, quantity, own) for quantity in QUANTITIES]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(model: str, block: str, quantity: str, runs: list[Result]) -> dict[str, Any]:
    summaries = [_summary(run, block) for run in runs]
    figures = [detail(summary, "figures", quantity) or {} for summary in summaries]
    estimate = seeds.combine(
        [figure.get("mean") for figure in figures],
        [figure.get("interval") for figure in figures],
        [run.reason for run in runs],
    )
    flags = [f for s in summaries for f in np.ravel(s.get(f"{ENDS.get(quantity)}_converged", []))]
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


def _summary(run: Result, block: str) -> dict[str, Any]:
    """Return what was measured of a block, with the part of the top eigenvector in it."""
    found = dict(detail(run.details, "blocks") or {})
    if not found:
        return {}
    if block == WHOLE:
        return _whole(run.details, next(iter(found.values()))["batches"])
    shares = detail(run.details, "eigenvalues", "shares", block)
    if block not in found or shares is None:
        return dict(found.get(block, {}))
    top = {"mean": float(np.mean([row[0] for row in shares]))}
    return found[block] | {"figures": found[block]["figures"] | {"top_share": top}}


def _whole(details: Mapping[str, Any], batches: int) -> dict[str, Any]:
    """Return the main measurement of the first mini-batches alone."""
    figures = {
        name: {"mean": float(np.mean(details["figures"][name]["per_batch"][:batches]))}
        for name in ("lambda_max", "lambda_min", "trace")
    }
    ends = {
        f"{end}_converged": [row[0] for row in details["eigenvalues"][f"{end}_converged"][:batches]]
        for end in ENDS.values()
    }
    return {"parameters": details["parameters"], "batches": batches, "figures": figures, **ends}


def hessian_blocks_context(frame: pd.DataFrame) -> dict[str, Any]:
    """Return what the template shows: models down, blocks across, stages in one column.

    Args:
        frame: From :func:`hessian_blocks`.

    Returns:
        Headings, rows of cells and notes.
    """
    rows = []
    for model in style.ordered(frame["model"]):
        own = frame[frame["model"] == model].set_index(["task", "quantity"])
        stage = _sharpest_stage(own)
        shown = [WHOLE, "image", "text", "stem", stage, "head", "scan"]
        rows.append({
            "model": style.label(model),
            "cells": [_cell(own, name, name == stage) for name in shown],
        })
    known = frame.dropna(subset="batches")
    tops = known[known["quantity"] == "lambda_max"]["converged"].astype(float)
    return {
        "headings": ["whole", "image", "text", "stem", "sharpest stage", "head", "scan"],
        "rows": rows,
        "batches": int(known["batches"].iloc[0]) if len(known) else None,
        "unconverged": bool((tops < 1).any()),
    }


def _sharpest_stage(own: pd.DataFrame) -> str | None:
    tops = own.xs("lambda_max", level="quantity")["value"].dropna().astype(float)
    stages = tops[tops.index.str.fullmatch(r"stage-\d+")]
    return str(stages.idxmax()) if len(stages) else None


def _cell(own: pd.DataFrame, block: str | None, named: bool) -> cells.Tex:
    if (block, "lambda_max") not in own.index:
        return cells.MISSING
    top, share = own.loc[(block, "lambda_max")], own.loc[(block, "top_share"), "value"]
    if not cells.known(top["value"]):
        return cells.MISSING
    mark = r"$^{\dagger}$" if top["converged"] < 1 else ""
    stage = f" ({block.removeprefix('stage-')})" if block and named else ""
    return cells.stacked(cells.Tex(f"{_eigenvalue(top['value'])}{mark}{stage}"), _share(share))


def _eigenvalue(value: float) -> cells.Tex:
    if not 0 < abs(value) < SMALL:
        return cells.significant(value)
    mantissa, exponent = f"{value:.1e}".split("e")
    return cells.Tex(rf"${mantissa}\times 10^{{{int(exponent)}}}$")


def _share(share: float | None) -> cells.Tex:
    if not cells.known(share):
        return cells.Tex("")
    assert share is not None
    shown = cells.Tex("$<$1") if share < 0.005 else cells.percent(share, 0)
    return cells.Tex(rf"{shown}\,\%")
