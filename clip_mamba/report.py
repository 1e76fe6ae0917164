"""The report: everything that its template says, computed from results, config and tables."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from clip_mamba import claims, style, tables
from clip_mamba.data_sheet import data_sheet
from clip_mamba.results import Result
from clip_mamba.tables import cells
from clip_mamba.tables.robustness import Trials
from clip_mamba.tables.tex import Tex, render
from clip_mamba.variants import architecture, variant

__all__ = ["context", "render"]

_RUN = "{model}-{seed}"
#: Kind of result: its name, its files, and where the report shows it.
_KINDS = {
    "pretrain": ("pretraining", f"pretrain/{_RUN}.json", r"Tab.~\ref{tab:models}"),
    "zeroshot": ("zero-shot", f"zeroshot/{_RUN}/{{task}}.json", r"Tab.~\ref{tab:zeroshot}"),
    "retrieval": ("retrieval", f"retrieval/{_RUN}/{{set}}.json", r"Tab.~\ref{tab:retrieval}"),
    "linear-probe": (
        "linear probing",
        f"linear-probe/{_RUN}/{{task}}.json",
        r"Tab.~\ref{tab:linear-probe}",
    ),
    "ood": ("OOD", f"ood/{_RUN}/{{condition}}.json", r"Tab.~\ref{tab:ood}"),
    "hessian": ("Hessian", f"hessian/{_RUN}.json", r"Tab.~\ref{tab:hessian}"),
}


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
        "zeroshot": tables.zeroshot(own, models=models, tasks=study.get("zeroshot")),
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
        "seeds": [str(seed) for seed in study.get("seeds", ())],
        "recipe": _recipe(recipe),
        "exceptions": _exceptions(recipe, settings or {}),
        "corpus": _corpus(corpus),
        "sources": data_sheet(sources, study),
        "published": _published(published),
        "headline": _headline(frames["zeroshot"]),
        "ood": _ood(frames["ood"]),
        "levels": _levels(frames["ood"]),
        "hessian": _hessian(frames["hessian"]),
        "verdicts": [] if claimed is None else claims.summary(claimed),
        "provenance": _provenance(results),
    }


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


def _recipe(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return every setting: the original's, ours, and why they differ."""
    from clip_mamba.recipe import Recipe

    settings, reasons = dict(recipe.get("settings", {})), dict(recipe.get("reasons", {}))
    original, used = _flat(Recipe()), _flat(Recipe.from_config(settings))
    rows = []
    for name, value in used.items():
        group = name.partition(".")[0]
        rows.append({
            "name": name,
            "original": _setting(original[name]),
            "used": _setting(value),
            "changed": value != original[name],
            "reason": reasons.get(name) or reasons.get(group) or "",
        })
    return {
        "rows": rows,
        "changed": [row for row in rows if row["changed"]],
        "kept": [row for row in rows if not row["changed"]],
        "value": {row["name"]: row["used"] for row in rows},
    }


def _exceptions(
    recipe: Mapping[str, Any], settings: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return which models had other settings, and which; models that share them together."""
    from clip_mamba.recipe import Recipe

    shared = _flat(Recipe.from_config(dict(recipe.get("settings", {}))))
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for model, own in settings.items():
        flat = _flat(Recipe.from_config(dict(own)))
        changes = [
            {"name": name, "shared": _setting(shared[name]), "used": _setting(value)}
            for name, value in flat.items()
            if value != shared[name]
        ]
        if changes or variant(model):
            group = found.setdefault(
                (variant(model), str(changes)),
                {"variant": variant(model), "models": [], "changes": changes},
            )
            group["models"].append(architecture(model))
    return list(found.values())


def _flat(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Return the fields of nested dataclasses with dotted names."""
    found: dict[str, Any] = {}
    for entry in fields(settings):
        value = getattr(settings, entry.name)
        if is_dataclass(value):
            found |= _flat(value, f"{prefix}{entry.name}.")
        else:
            found[prefix + entry.name] = value
    return found


def _setting(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        mantissa, _, exponent = f"{value:g}".partition("e")
        return Tex(rf"${mantissa}\cdot 10^{{{int(exponent)}}}$") if exponent else mantissa
    if isinstance(value, tuple | list):
        return "(" + ", ".join(f"{part:g}" for part in value) + ")"
    return str(value)


def _corpus(path: str | Path | None) -> dict[str, Any] | None:
    if path is None or not Path(path).is_file():
        return None
    index = json.loads(Path(path).read_text())
    held_out = index.get("held_out", {})
    return {
        "pairs": cells.count(index.get("pairs")),
        "concepts": cells.count(index.get("concepts")),
        "styles": cells.count(len(index.get("styles", ()))),
        "held_out_concepts": cells.count(len(held_out.get("concepts", ()))),
        "held_out_styles": held_out.get("styles", []),
        "sha256": index.get("sha256", ""),
    }


def _published(path: str | Path) -> dict[str, Any] | None:
    """Return the original's zero-shot table, tasks down and models across."""
    if not Path(path).is_file():
        return None
    frame = pd.read_csv(path, comment="#").set_index("model")
    sizes = frame.pop("parameters_million")
    rows = [
        {"task": task, "cells": _bold(list(frame[task]), 1)} for task in frame.columns
    ]  # one row per task
    means = frame.mean(axis=1)

    def named(name: str) -> dict[str, Any]:
        return {"size": f"{sizes[name]:g}", "mean": cells.fixed(means[name], 2)}

    return {
        # The two models of the original's claim on efficiency.
        "small": named("Simba_L"),
        "large": named("VIT-L"),
        "models": [_spelt(name) for name in frame.index],
        "sizes": [f"{size:g}" for size in sizes],
        "rows": rows,
        "means": _bold(list(means), 2),
        "tasks": len(frame.columns),
    }


def _spelt(name: str) -> str:
    """Return a published model's name in our spelling."""
    return name.replace("_", "-").replace("VIT", "ViT").replace("Simba", "SiMBA")


def _bold(values: Sequence[float], digits: int) -> list[Tex]:
    top = cells.best(values)
    return [
        Tex(rf"\textbf{{{cells.fixed(v, digits)}}}" if place in top else cells.fixed(v, digits))
        for place, v in enumerate(values)
    ]


def _accuracy(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's accuracy as prose uses it."""
    bounds = cells.interval(row["low"], row["high"], factor=100)
    value = cells.percent(row["value"])
    return {
        "model": style.label(row["model"]),
        "value": value,
        "interval": bounds,
        "text": Tex(rf"{value}\,\%" + (f" {bounds}" if bounds else "")),
    }


def _champions(frame: pd.DataFrame) -> dict[str, Any]:
    """Return the best Mamba model, the best other model, and whether their intervals meet."""
    known = frame[frame["value"].notna() & (frame["model"] != style.BASELINE)]
    mamba = known[known["model"].map(style.is_mamba).astype(bool)]
    other = known[~known["model"].map(style.is_mamba).astype(bool)]
    best = [
        own.loc[own["value"].astype(float).idxmax()].to_dict() if len(own) else None
        for own in (mamba, other)
    ]
    apart = None
    if best[0] and best[1] and pd.notna(best[0]["low"]) and pd.notna(best[1]["low"]):
        apart = best[0]["low"] > best[1]["high"] or best[1]["low"] > best[0]["high"]
    return {
        "mamba": _accuracy(best[0]) if best[0] else None,
        "vit": _accuracy(best[1]) if best[1] else None,
        "apart": apart,
    }


def _headline(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return what the prose says of each task that was measured."""
    found = []
    for task, own in frame.groupby("task", sort=False):
        both = _champions(own)
        if both["mamba"] is None and both["vit"] is None:
            continue
        first = own.iloc[0]
        baseline = own[(own["model"] == style.BASELINE) & own["value"].notna()]
        trained = own[(own["model"] != style.BASELINE)]
        above = trained["low"] > first["chance"] if pd.notna(first["chance"]) else None
        factor = trained["times_chance"].dropna()
        found.append({
            "task": task,
            "title": first["title"],
            "examples": cells.count(own["examples"].max()),
            "classes": cells.count(first["classes"]),
            "chance": cells.percent(first["chance"], 2),
            **both,
            "baseline": _accuracy(baseline.iloc[0].to_dict()) if len(baseline) else None,
            "above_chance": None if above is None else int(above.sum()),
            "trained": len(trained),
            "least_factor": cells.significant(factor.min() if len(factor) else None, 2),
            "most_factor": cells.significant(factor.max() if len(factor) else None, 2),
        })
    return found


def _ood(frame: pd.DataFrame) -> dict[str, Any]:
    conditions = frame[(frame["quantity"] == "accuracy") & (frame["level"] == "")]
    pairs = frame[(frame["quantity"] == "error-consistency") & (frame["condition"] == "")]
    pairs = pairs.dropna(subset="value")
    # Over all categories; the rows with a level are of one category each.
    shape = frame[(frame["quantity"] == "shape-bias") & (frame["level"] == "")]
    bias = shape["value"].dropna()
    return {
        "mean": _champions(frame[frame["quantity"] == "mean-accuracy"]),
        "conditions": cells.count(conditions["condition"].nunique()),
        "chance": cells.percent(frame["chance"].dropna().max() if len(frame) else None, 2),
        "shape_low": cells.percent(bias.min() if len(bias) else None, 0),
        "shape_high": cells.percent(bias.max() if len(bias) else None, 0),
        "most_alike": _pair(pairs, "idxmax"),
        "least_alike": _pair(pairs, "idxmin"),
    }


def _pair(pairs: pd.DataFrame, which: str) -> dict[str, Any] | None:
    if pairs.empty:
        return None
    row = pairs.loc[getattr(pairs["value"].astype(float), which)()]
    return {"one": row["model"], "two": row["other"], "kappa": cells.fixed(row["value"], 2)}


def _levels(frame: pd.DataFrame) -> dict[str, Any]:
    """Return the accuracy at every level, for the appendix."""
    own = frame[(frame["quantity"] == "accuracy") & (frame["level"] != "")]
    names = style.ordered(own["model"])
    rows: list[dict[str, Any]] = []
    for (condition, level), group in own.groupby(["condition", "level"], sort=False):
        records = {row["model"]: row for row in group.to_dict("records")}
        shown = [
            cells.percent(records[name]["value"]) if name in records else cells.MISSING
            for name in names
        ]
        first = not rows or rows[-1]["condition"] != condition
        rows.append({
            "condition": condition,
            "first": first,
            "level": level,
            "excluded": bool(group["excluded"].any()),
            "examples": cells.count(group["examples"].max()),
            "cells": shown,
        })
    return {"models": names, "rows": rows}


def _hessian(frame: pd.DataFrame) -> dict[str, Any] | None:
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


def _provenance(results: Sequence[Result]) -> dict[str, Any]:
    """Return versions, checksums, devices and times of all results."""
    versions: dict[str, set[str]] = {}
    for result in results:
        for name, version in result.versions.items():
            versions.setdefault(name, set()).add(version)
    weights = {
        (r.model, r.seed): r.weights_sha256
        for r in results
        if r.kind in {"pretrain", "zeroshot"} and r.weights_sha256
    }
    data = {(_KINDS[r.kind][0], r.task): r.data_sha256 for r in results}
    stages = [
        {
            "name": title,
            "results": sum(r.kind == kind for r in results),
            "missing": sum(r.kind == kind and r.value is None for r in results),
            "minutes": cells.fixed(sum(r.seconds for r in results if r.kind == kind) / 60),
            "files": files,
            "shown": Tex(shown),
        }
        for kind, (title, files, shown) in _KINDS.items()
        if any(r.kind == kind for r in results)
    ]
    return {
        "versions": [(name, ", ".join(sorted(found))) for name, found in sorted(versions.items())],
        "devices": ", ".join(sorted({r.device for r in results})) or "none",
        "weights": [(f"{model}-{seed}", digest) for (model, seed), digest in weights.items()],
        "data": [(kind, task, digest) for (kind, task), digest in sorted(data.items())],
        "stages": stages,
        "results": len(results),
        "minutes": cells.fixed(sum(r.seconds for r in results) / 60, 0),
    }
