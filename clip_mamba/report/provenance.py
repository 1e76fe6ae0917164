"""Where every number is from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clip_mamba.results import Result
from clip_mamba.tables import cells
from clip_mamba.tables.tex import Tex

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


def provenance(results: Sequence[Result]) -> dict[str, Any]:
    """Return versions, checksums, devices and times of all results.

    Args:
        results: All results of the scale.

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
