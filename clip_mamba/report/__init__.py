"""The report: everything that its templates say, computed from results, config and tables."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from clip_mamba import style, tables
from clip_mamba.data_sheet import data_sheet
from clip_mamba.report.architectures import architectures
from clip_mamba.report.curvature import hessian
from clip_mamba.report.data import corpus as about_corpus
from clip_mamba.report.discussion import effects, losses
from clip_mamba.report.provenance import provenance
from clip_mamba.report.published import published as original
from clip_mamba.report.recipe import exceptions
from clip_mamba.report.recipe import recipe as about_recipe
from clip_mamba.report.robustness import levels, ood
from clip_mamba.report.verdicts import verdicts
from clip_mamba.report.zero_shot import headline, probes, zero_shot
from clip_mamba.results import Result
from clip_mamba.tables import cells
from clip_mamba.tables.robustness import Trials
from clip_mamba.tables.tex import Tex, render
from clip_mamba.variants import variant

__all__ = ["context", "render", "verdicts"]


def context(
    results: Sequence[Result],
    *,
    scale: str,
    study: Mapping[str, Any],
    recipe: Mapping[str, Any],
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    table_paths: Mapping[str, str | Path],
    figure_paths: Mapping[str, str | Path],
    sources: Sequence[str | Path] = ("data/sources.tsv",),
    published: str | Path = "paper/published/zeroshot.csv",
    corpus: str | Path | None = None,
    trials: Trials | None = None,
    claimed: pd.DataFrame | None = None,
    zeroshot: pd.DataFrame | None = None,
    code: Mapping[str, str] | None = None,
    folder: str | Path = "paper",
) -> dict[str, Any]:
    """Return the names that ``paper/report.tex.j2`` uses.

    Args:
        results: All results of the scale.
        scale: ``demo`` or ``paper``.
        study: The scale's section of the configuration.
        recipe: The recipe's section: ``settings`` and ``reasons``.
        settings: What each model was pretrained with, variants (:mod:`clip_mamba.variants`)
            included.
        table_paths: ``models``, ``zeroshot``, ``ood``, ``hessian`` to their LaTeX files; the
            report says so where one is missing.
        figure_paths: Names of figures (see the template) to their PDF or PNG files; likewise.
        sources: Tables of downloads with licences (see :mod:`clip_mamba.data_sheet`).
        published: The original report's zero-shot results.
        corpus: ``index.json`` of the training shards, if there is one.
        trials: From :func:`clip_mamba.tables.read_trials`, for error consistency.
        claimed: From :func:`clip_mamba.claims.evaluate`, for the verdicts.
        zeroshot: From :func:`clip_mamba.tables.zeroshot`, made with predictions; without it
            there are no paired differences.
        code: ``commit`` and ``date`` of the code, if known.
        folder: Where the report is compiled; paths in it are relative to this.

    Returns:
        The context.
    """
    models = study.get("models")
    # Prose is about the study's own recipe.
    own = [result for result in results if not variant(result.model)]
    tried = {run: sets for run, sets in (trials or {}).items() if not variant(run[0])}
    frames = {
        "models": tables.models(own, models=models),
        "zeroshot": tables.zeroshot(own, models=models, tasks=study.get("zeroshot"))
        if zeroshot is None
        else tables.without_variants(zeroshot),
        "ood": tables.ood(own, trials=tried, models=models),
        "hessian": tables.hessian(own, models=models),
    }
    return {
        "scale": scale,
        "demo": scale == "demo",
        "table": {name: relative(path, folder) for name, path in table_paths.items()},
        "figure": {name: relative(path, folder) for name, path in figure_paths.items()},
        "study": study,
        "models": _models(frames["models"]),
        "origins": _origins(own),
        "architectures": architectures(models or []),
        "seeds": [str(seed) for seed in study.get("seeds", ())],
        "recipe": about_recipe(recipe),
        "exceptions": exceptions(recipe, settings or {}),
        "corpus": about_corpus(corpus),
        "sources": data_sheet(sources, study),
        "published": original(published),
        "headline": headline(frames["zeroshot"]),
        "zero_shot": zero_shot(frames["zeroshot"]),
        "probes": probes(tables.linear_probe(own)),
        "ood": ood(frames["ood"]),
        "levels": levels(frames["ood"]),
        "hessian": hessian(frames["hessian"], own),
        "losses": losses(frames["models"]),
        "effects": effects(results),
        "verdicts": verdicts(claimed),
        "provenance": provenance(results, scale, code),
    }


def _origins(results: Sequence[Result]) -> dict[str, list[str]]:
    """Return the models by where their weights come from."""
    found: dict[str, dict[str, None]] = {"pretrained": {}, "released": {}, "given": {}}
    for result in results:
        if result.model != style.BASELINE:
            where = result.seed if isinstance(result.seed, str) else "pretrained"
            found[where][result.model] = None
    return {where: style.ordered(models) for where, models in found.items()}


def relative(path: str | Path, folder: str | Path) -> Tex:
    """Return a path as LaTeX reads it from the report's folder.

    Args:
        path: A file.
        folder: The report's folder.

    Returns:
        The relative path, with forward slashes, unescaped.
    """
    return Tex(Path(os.path.relpath(path, folder)).as_posix())


def _models(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            "name": row["model"],
            "family": row["family"],
            "image": cells.millions(row["image_parameters"]),
            "loss": cells.fixed(row["value"], 2),
            "minutes": cells.fixed(row["minutes"]),
        }
        for row in frame.to_dict("records")
    ]
