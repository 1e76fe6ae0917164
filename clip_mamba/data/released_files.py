"""Find and fetch the weights that the original's authors released."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from clip_mamba.data.download import download, fetch_json
from clip_mamba.data.fetch import FetchError
from clip_mamba.data.sources import TABLES

HUB = "https://huggingface.co"
SUFFIXES = (".pt", ".pth", ".ckpt", ".bin")


@dataclass(frozen=True)
class Released:
    """One row of ``data/released.tsv``.

    Attributes:
        model: Our name.
        repository: Of Hugging Face's hub.
        names: How the model may be called in a file's path, letters and digits alone, the most
            telling first.
        licence: Of the weights.
    """

    model: str
    repository: str
    names: tuple[str, ...]
    licence: str


def read_released() -> dict[str, Released]:
    """Read the table of released weights.

    Returns:
        Model to its row.
    """
    with open(TABLES / "released.tsv", newline="") as file:
        rows = [
            Released(
                row["model"], row["repository"], tuple(row["names"].split(",")), row["licence"]
            )
            for row in csv.DictReader(file, delimiter="\t")
        ]
    return {row.model: row for row in rows}


def find_file(row: Released, files: list[str]) -> str:
    """Choose the checkpoint of a model among the files of its repository.

    Args:
        row: The model.
        files: Paths in the repository.

    Returns:
        The path of the one file that bears the model's name.

    Raises:
        FetchError: If none does, or several do; lists the files and says what to do.
    """
    plain = {path: re.sub(r"[^a-z0-9]", "", path.lower()) for path in files}
    for name in row.names:
        found = [p for p in files if name in plain[p] and p.lower().endswith(SUFFIXES)]
        if len(found) == 1:
            return found[0]
    raise FetchError(
        f"no single file of {HUB}/{row.repository} is the checkpoint of {row.model}; it has: "
        f"{', '.join(files) or 'nothing'}. Download the right one and give its path in "
        f"config.yaml: weights: {{{row.model}: PATH}}."
    )


def fetch_released(model: str, target: str | Path) -> Path:
    """Fetch the released checkpoint of a model.

    Args:
        model: A model of ``data/released.tsv``.
        target: The file to write.

    Returns:
        The target.

    Raises:
        FetchError: If nothing was released, or it cannot be fetched.
    """
    table = read_released()
    if model not in table:
        raise FetchError(f"no weights of {model!r} were released; there are: {', '.join(table)}.")
    row = table[model]
    listing = fetch_json(f"{HUB}/api/models/{row.repository}")
    path = find_file(row, [entry["rfilename"] for entry in listing.get("siblings", [])])
    return download(f"{HUB}/{row.repository}/resolve/main/{path}", target)
