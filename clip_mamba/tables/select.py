"""Choosing among results."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from clip_mamba.results import Result
from clip_mamba.style import ordered
from clip_mamba.variants import variant

Kind = Literal["pretrain", "zeroshot", "retrieval", "linear-probe", "ood", "hessian"]


def read(paths: Iterable[str | Path]) -> list[Result]:
    """Read results.

    Args:
        paths: JSON files.

    Returns:
        The results, in the order of the paths.
    """
    return [Result.read(path) for path in paths]


def by_task(results: Iterable[Result], kind: Kind) -> dict[tuple[str, str], list[Result]]:
    """Group results of one kind by model and task, one entry per seed.

    Args:
        results: Results of any kind.
        kind: The kind wanted.

    Returns:
        (model, task) to its results, by seed.
    """
    groups: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in sorted(results, key=lambda r: str(r.seed)):
        if result.kind == kind:
            groups[result.model, result.task].append(result)
    return dict(groups)


def models_of(results: Iterable[Result], wanted: Sequence[str] | None = None) -> list[str]:
    """Return the models of a table.

    Args:
        results: Results.
        wanted: Models that belong in the table even if nothing was measured.

    Returns:
        Names in the order of tables.
    """
    return ordered([*(wanted or ()), *(result.model for result in results)])


def without_variants(frame: pd.DataFrame) -> pd.DataFrame:
    """Leave out what is about models that were pretrained once more by another recipe.

    Args:
        frame: A table with the column ``model`` and perhaps ``other``.

    Returns:
        The other rows.
    """
    names = frame[[name for name in ("model", "other") if name in frame]]
    return frame[~names.map(lambda name: bool(variant(str(name)))).any(axis=1)]


def tasks_of(results: Iterable[Result], wanted: Sequence[str] | None = None) -> list[str]:
    """Return the tasks of a table: the wanted ones first, in their order.

    Args:
        results: Results of one kind.
        wanted: Tasks that belong in the table even if nothing was measured.

    Returns:
        Names.
    """
    return list(dict.fromkeys([*(wanted or ()), *(result.task for result in results)]))


def detail(details: Mapping[str, Any], *names: str) -> Any:
    """Return a value from nested details.

    Args:
        details: A result's details.
        *names: The way down.

    Returns:
        The value; ``None`` where the way ends early.
    """
    value: Any = details
    for name in names:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def source(result: Result) -> str:
    """Return where the workflow keeps the JSON file of a result.

    Args:
        result: The result.

    Returns:
        The path below ``results/``.
    """
    run = f"{result.scale}/{result.kind}/{result.model}-{result.seed}"
    return f"{run}.json" if result.kind in {"pretrain", "hessian"} else f"{run}/{result.task}.json"


def sources(results: Iterable[Result]) -> str:
    """Return the files of several results for a table's column.

    Args:
        results: The results.

    Returns:
        Paths below ``results/``, separated by spaces.
    """
    return " ".join(source(result) for result in results)
