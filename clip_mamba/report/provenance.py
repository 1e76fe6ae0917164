"""Where every number is from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from clip_mamba.results import Result
from clip_mamba.tables import cells
from clip_mamba.tables.select import source
from clip_mamba.tables.tex import Tex
from clip_mamba.variants import variant

_RUN = "{run}"
#: Kind of result: what the report calls it.
_KINDS = {
    "pretrain": "pretraining",
    "zeroshot": "zero-shot",
    "retrieval": "retrieval",
    "linear-probe": "linear probing",
    "ood": "out of distribution",
    "hessian": "Hessian",
}
#: Kind of result: numbers, their files below ``results/``, fields or columns, where they are shown.
_FILES = {
    "pretrain": [
        ("sizes, training", f"{{scale}}/pretrain/{_RUN}.json", "value, details", "models"),
    ],
    "zeroshot": [
        ("one task", f"{{scale}}/zeroshot/{_RUN}/{{task}}.json", "value, interval", "zeroshot"),
        ("single pictures", f"{{scale}}/zeroshot/{_RUN}/{{task}}.parquet", "all", ""),
        ("means, differences", "tables/zeroshot.csv", "value, low, high", "zeroshot"),
    ],
    "retrieval": [
        ("one set", f"{{scale}}/retrieval/{_RUN}/{{set}}.json", "details", "retrieval"),
    ],
    "linear-probe": [
        ("one task", f"{{scale}}/linear-probe/{_RUN}/{{task}}.json", "value", "linear-probe"),
    ],
    "ood": [
        ("one set, its levels", f"{{scale}}/ood/{_RUN}/{{set}}.json", "value, details", "ood"),
        ("single decisions", f"{{scale}}/ood/{_RUN}/{{set}}.csv", "all", ""),
        ("means, differences, kappa", "tables/ood.csv", "value, low, high", "ood"),
    ],
    "hessian": [
        ("spectrum, trace", f"{{scale}}/hessian/{_RUN}.json", "details.figures", "hessian"),
        (
            "parts, batch sizes, surfaces",
            f"{{scale}}/hessian/{_RUN}.json",
            "details.blocks, .sweep, .surfaces",
            "hessian-blocks",
        ),
    ],
}
_CLAIMS = ("claims", "tables/claims.csv", "value, p_holm, verdict", "claims")


def provenance(
    results: Sequence[Result], scale: str, code: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return versions, checksums, machines, times and files of all results.

    Args:
        results: All results of the scale.
        scale: The scale.
        code: ``commit`` and ``date`` of the code, if known.

    Returns:
        The context.
    """
    versions: dict[str, set[str]] = {}
    for result in results:
        for name, version in result.versions.items():
            versions.setdefault(name, set()).add(version)
    weights = {
        (r.model, r.seed): r.weights_sha256
        for r in results
        if r.kind in {"pretrain", "zeroshot"} and r.weights_sha256
    }
    data = {(_KINDS[r.kind], r.task): r.data_sha256 for r in results}
    kinds = [kind for kind in _KINDS if any(r.kind == kind for r in results)]
    return {
        "code": {"commit": "", "date": "", **(code or {})},
        "versions": [(name, ", ".join(sorted(found))) for name, found in sorted(versions.items())],
        "machines": sorted({r.machine for r in results} - {""}),
        "weights": [(f"{model}-{seed}", digest) for (model, seed), digest in weights.items()],
        "data": [(kind, task, digest) for (kind, task), digest in sorted(data.items())],
        "stages": [_stage(kind, results) for kind in kinds],
        "files": [row for kind in kinds for row in _files(kind, scale)] + [_shown(_CLAIMS, scale)],
        "example": _example(results),
        "results": len(results),
        "minutes": cells.fixed(sum(r.seconds for r in results) / 60, 0),
    }


def _stage(kind: str, results: Sequence[Result]) -> dict[str, Any]:
    own = [r for r in results if r.kind == kind]
    return {
        "name": _KINDS[kind],
        "results": len(own),
        "missing": sum(r.value is None for r in own),
        "minutes": cells.fixed(sum(r.seconds for r in own) / 60),
    }


def _files(kind: str, scale: str) -> list[dict[str, Any]]:
    rows = [_shown(row, scale) for row in _FILES[kind]]
    return [{**row, "stage": "" if place else _KINDS[kind]} for place, row in enumerate(rows)]


def _shown(row: tuple[str, str, str, str], scale: str) -> dict[str, Any]:
    what, path, field, table = row
    return {
        "stage": "",
        "what": what,
        "path": path.replace("{scale}", scale),
        "field": field,
        "shown": Tex(rf"\autoref{{tab:{table}}}") if table else "",
    }


def _example(results: Sequence[Result]) -> dict[str, Any] | None:
    """Return one number of the report with its file."""
    own = [
        r
        for r in results
        if r.kind == "zeroshot"
        and r.value is not None
        and r.weights_sha256
        and not variant(r.model)
    ]
    if not own:
        return None
    first = own[0]
    return {
        "value": cells.percent(first.value),
        "model": first.model,
        "title": str(first.details.get("title", first.task)),
        "path": f"results/{source(first)}",
    }
