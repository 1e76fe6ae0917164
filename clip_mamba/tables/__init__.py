"""From results to tables: tidy CSV at full precision, LaTeX, and HTML pages.

Each table is a tidy frame (:func:`models`, :func:`zeroshot`, :func:`ood`, :func:`hessian`) and a
Jinja template ``paper/tables/<name>.tex.j2`` that :func:`write` fills from it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from clip_mamba.files import atomic_write
from clip_mamba.tables.claimed import claims_context
from clip_mamba.tables.curvature import hessian, hessian_context
from clip_mamba.tables.curvature_blocks import hessian_blocks, hessian_blocks_context
from clip_mamba.tables.html import TITLES, write_html
from clip_mamba.tables.pretraining import models, models_context
from clip_mamba.tables.probes import linear_probe, linear_probe_context
from clip_mamba.tables.retrieval import retrieval, retrieval_context
from clip_mamba.tables.robustness import ood
from clip_mamba.tables.robustness_context import ood_context
from clip_mamba.tables.select import read, without_variants
from clip_mamba.tables.tex import render
from clip_mamba.tables.trials import read_humans, read_trials
from clip_mamba.tables.zero_shot import zeroshot, zeroshot_context

__all__ = [
    "CONTEXTS",
    "hessian",
    "hessian_blocks",
    "linear_probe",
    "models",
    "ood",
    "read",
    "read_csv",
    "read_humans",
    "read_trials",
    "retrieval",
    "without_variants",
    "write",
    "zeroshot",
]

#: Columns that hold words; an empty cell in them is the empty word and not a missing number.
WORDS = (
    "quantity", "condition", "level", "model", "other", "task", "title", "reason", "source",
    "direction",
)  # fmt: skip


#: What a table's template is filled with, by the table's name.
CONTEXTS: dict[str, Callable[[pd.DataFrame], dict[str, Any]]] = {
    "models": models_context,
    "zeroshot": zeroshot_context,
    "retrieval": retrieval_context,
    "linear_probe": linear_probe_context,
    "ood": ood_context,
    "hessian": hessian_context,
    "hessian_blocks": hessian_blocks_context,
    "claims": claims_context,
}


def write(
    frame: pd.DataFrame,
    name: str,
    csv_path: str | Path,
    tex_path: str | Path,
    *,
    scale: str,
    html_path: str | Path | None = None,
    templates: str | Path = "paper/tables",
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write a table as CSV, as LaTeX and perhaps as HTML, each atomically.

    Args:
        frame: The tidy table.
        name: Which one it is, a key of ``CONTEXTS``.
        csv_path: The CSV file, at full precision.
        tex_path: The LaTeX file, to be input by the report.
        scale: The scale that was measured; the LaTeX says it.
        html_path: The page of the interactive report, if one is wanted.
        templates: Folder of ``<name>.tex.j2``.
        extra: Further names for the template.

    Raises:
        ValueError: If there is no table of that name.
    """
    if name not in CONTEXTS:
        near = difflib.get_close_matches(name, CONTEXTS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"unknown table {name!r}: {hint}known: {', '.join(CONTEXTS)}")
    with atomic_write(csv_path) as temporary:
        frame.to_csv(temporary, index=False)
    if html_path is not None:
        write_html(frame, f"{TITLES[name]}, {scale} scale", html_path)
    context = {"scale": scale, **CONTEXTS[name](frame), **(extra or {})}
    render(Path(templates) / f"{name}.tex.j2", context, tex_path)


def read_csv(path: str | Path) -> pd.DataFrame:
    """Read a table back as it was before :func:`write` stored it.

    Args:
        path: The CSV file.

    Returns:
        The tidy table, with words as words (a level ``"0"`` stays one).
    """
    frame = pd.read_csv(
        path, dtype=dict.fromkeys(WORDS, str), keep_default_na=False, na_values=[""]
    )
    present = [name for name in WORDS if name in frame]
    frame[present] = frame[present].fillna("")
    return frame
