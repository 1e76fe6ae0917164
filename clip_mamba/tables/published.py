"""The original report's own zero-shot results, in our names and units."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd

#: Its numbers, as printed.
PUBLISHED = Path("paper/published/zeroshot.csv")

#: Our tasks; their titles are the columns of that file.
TASKS = Path("data/zeroshot.tsv")

#: Its models in our spelling.
NAMES = {
    "VMamba_B": "VMamba-B",
    "VMamba_S": "VMamba-S",
    "VMamba_T220": "VMamba-T220",
    "Simba_L": "SiMBA-L",
    "VIT_B": "ViT-B-16",
    "VIT-L": "ViT-L-16",
}


def titles(tasks: str | Path = TASKS) -> dict[str, str]:
    """Return the titles of the 26 tasks.

    Args:
        tasks: The table of tasks.

    Returns:
        Name to title, in the report's order; empty if there is no table.
    """
    if not Path(tasks).is_file():
        return {}
    with open(tasks, newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return {row["name"]: row["title"] for row in rows}


def published(path: str | Path = PUBLISHED, tasks: str | Path = TASKS) -> pd.DataFrame:
    """Return the report's results.

    Args:
        path: Its numbers.
        tasks: The table of tasks.

    Returns:
        ``model``, ``task``, ``published`` (a share in [0, 1]) and ``published_parameters``;
        empty if a file is absent.
    """
    rows = []
    if Path(path).is_file():
        table = pd.read_csv(path, comment="#").set_index("model")
        for theirs, ours in NAMES.items():
            for task, title in titles(tasks).items():
                rows.append({
                    "model": ours,
                    "task": task,
                    "published": table.loc[theirs, title] / 100,
                    "published_parameters": table.loc[theirs, "parameters_million"] * 1e6,
                })
    return pd.DataFrame(rows, columns=["model", "task", "published", "published_parameters"])
