"""The report's data sheet: what was downloaded, from where, under which licence."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

#: What the columns of a table are called, by the table's name: name, source, licence, author, use.
_COLUMNS = {
    "sources": ("name", "package", "licence", "author", "role"),
    "zeroshot": ("name", "source", "licence", "", "zero-shot"),
    "retrieval": ("name", "source", "licence", "", "retrieval"),
    "ood": ("condition", "url", "licence", "", "out of distribution"),
    "released": ("model", "repository", "licence", "", "weights"),
}
#: Where a study says which rows it uses.
_USED = {"zeroshot": "zeroshot", "retrieval": "retrieval"}


def data_sheet(paths: Sequence[str | Path], study: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return what a study downloads.

    Args:
        paths: Tables of downloads below ``data/``; one that does not exist is left out.
        study: The scale's section of the configuration.

    Returns:
        A dictionary per download with ``name``, ``source``, ``licence``, ``author`` and ``use``.
    """
    return [row for path in map(Path, paths) if path.is_file() for row in _rows(path, study)]


def _rows(path: Path, study: Mapping[str, Any]) -> list[dict[str, str]]:
    name, source, licence, author, use = _COLUMNS[path.stem]
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    key = _USED.get(path.stem)
    if key is not None:
        rows = [row for row in rows if row[name] in study.get(key, ())]
    if path.stem == "released" and "released" not in str(study.get("weights")):
        return []
    return [
        {
            "name": row[name],
            "source": " ".join(filter(None, (_short(row[source]), row.get("version", "")))),
            "licence": row[licence],
            "author": row.get(author, ""),
            "use": row.get(use, use),
        }
        for row in rows
    ]


def _short(address: str) -> str:
    """Return an address without what does not tell it from others."""
    plain = address.removeprefix("https://").removesuffix("/resolve/main")
    return plain.replace(
        "github.com/bethgelab/model-vs-human/releases/download/", "model-vs-human "
    )
