"""The table of models: sizes, and how pretraining went."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from clip_mamba import style
from clip_mamba.results import Result
from clip_mamba.tables import cells, seeds
from clip_mamba.tables.select import by_task, detail, models_of, sources

COLUMNS = (
    "model", "family", "image_parameters", "text_parameters", "seeds", "steps", "pairs",
    "batch_size", "pairs_per_second", "minutes", "machine", "value", "low", "high", "metric",
    "reason", "source",
)  # fmt: skip

#: The columns of the LaTeX table, with their headings.
HEADINGS = {
    "image": r"image tower\\parameters",
    "text": r"text tower\\parameters",
    "seeds": "seeds",
    "pairs": r"pairs\\seen",
    "rate": r"pairs\\per second",
    "minutes": r"minutes\\of training",
    "loss": r"final\\loss",
}
#: What a machine is described by, with its singular.
COUNTED = {"processes": "process", "threads": "thread"}
#: Columns that go into the note where every model has the same.
COMMON = {"text": "text tower parameters", "pairs": "pairs seen", "seeds": "seeds"}


def models(results: Sequence[Result], *, models: Sequence[str] | None = None) -> pd.DataFrame:
    """Return one row per model.

    Args:
        results: Results of kind ``pretrain``, and one of any kind of each model that was not
            pretrained here, for its size.
        models: Models that have a row even if they were not pretrained.

    Returns:
        A table with the columns ``COLUMNS``; ``value`` is the final training loss, and rates
        and times are means over seeds; ``machine`` is what they were measured on.
    """
    groups = by_task(results, "pretrain")
    runs: dict[str, list[Result]] = {}
    for (model, _), found in groups.items():
        runs.setdefault(model, []).extend(found)
    names = models_of([run for found in runs.values() for run in found], models)
    elsewhere = {r.model: r for r in results if isinstance(r.seed, str)}
    names = style.ordered([*names, *elsewhere])
    rows = [
        _elsewhere(elsewhere[model]) if model in elsewhere else _row(model, runs.get(model, []))
        for model in names
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _elsewhere(result: Result) -> dict[str, Any]:
    """Return the row of a model with weights from elsewhere."""
    where = "the original's released weights" if result.seed == "released" else "given weights"
    return {
        "model": result.model,
        "family": style.family(result.model),
        "seeds": 0,
        "image_parameters": result.image_parameters,
        "text_parameters": result.text_parameters,
        "reason": f"{where}, not pretrained here",
        "source": sources([result]),
    }


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
            "machine": "; ".join(dict.fromkeys(map(_machine, runs))),
            "metric": runs[0].metric,
        }
        for name in ("steps", "pairs", "pairs_per_second"):
            found = [v for run in runs if (v := detail(run.details, name)) is not None]
            row[name] = sum(found) / len(found) if found else None
        if row["steps"] and row["pairs"]:
            row["batch_size"] = round(row["pairs"] / row["steps"])
    return row


def _machine(run: Result) -> str:
    """Return what a run's time was measured on, with processes and threads."""
    parts = [run.machine or run.device]
    for name, one in COUNTED.items():
        number = detail(run.details, name)
        if number is not None:
            parts.append(f"{number} {one if number == 1 else name}")
    return ", ".join(parts)


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
    common = _common(rows)
    machines = frame["machine"].dropna().unique()
    return {
        "rows": rows,
        "headings": {k: cells.Tex(v) for k, v in HEADINGS.items() if k not in common},
        "common": list(common.values()),
        "machines": list(machines),
        "chance": _chance(frame),
        "notes": cells.notes(missing),
    }


def _common(rows: Sequence[dict[str, Any]]) -> dict[str, cells.Tex]:
    """Return columns in which all models that were pretrained have the same, in words."""
    found = {}
    for name, what in COMMON.items():
        shown = {row[name] for row in rows if row["loss"] != cells.MISSING}
        if len(rows) > 1 and len(shown) == 1:
            value = shown.pop()
            found[name] = cells.Tex(f"{value} {what.removesuffix('s') if value == '1' else what}")
    return found


def _chance(frame: pd.DataFrame) -> dict[str, cells.Tex] | None:
    """Return the loss of a model that finds all pairs of a batch equally likely."""
    sizes = frame["batch_size"].dropna().unique()
    if len(sizes) != 1:
        return None
    return {"batch_size": cells.count(sizes[0]), "loss": cells.fixed(math.log(sizes[0]), 2)}
