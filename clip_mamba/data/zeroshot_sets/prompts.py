"""Class names and prompt templates: SLIP's, fetched like the pictures and never our own."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clip_mamba.data.download import download

#: Both files at one commit of https://github.com/facebookresearch/SLIP (MIT).
SLIP = (
    "https://raw.githubusercontent.com/facebookresearch/SLIP/"
    "c6faf5d03cbfa7d529d210779f859cd3dddec09a"
)
LABELS, TEMPLATES = "labels.json", "templates.json"


@dataclass(frozen=True)
class Prompts:
    """What a task's classes are called, and the sentences around the names."""

    #: Synonyms of each class.
    classes: list[list[str]]
    #: Each with one ``{}``.
    templates: list[str]


def fetch_prompts(folder: str | Path) -> None:
    """Download SLIP's two files.

    Args:
        folder: Where ``labels.json`` and ``templates.json`` go.
    """
    for name in (LABELS, TEMPLATES):
        download(f"{SLIP}/{name}", Path(folder) / name)


def read_prompts(folder: str | Path, key: str, classes: int | None = None) -> Prompts:
    """Read the prompts of one task.

    Args:
        folder: Where :func:`fetch_prompts` put the files.
        key: SLIP's name of the task.
        classes: How many there must be.

    Returns:
        Names and templates.

    Raises:
        ValueError: If the task has no names or templates there, or another number of classes.
    """
    names = _of(Path(folder) / LABELS, key)
    templates = _of(Path(folder) / TEMPLATES, key)
    found = [[name] if isinstance(name, str) else list(name) for name in names]
    if unnamed := [i for i, synonyms in enumerate(found) if not any(map(str.strip, synonyms))]:
        raise ValueError(f"{folder}/{LABELS}: {key}: no names for the classes {unnamed}.")
    if classes is not None and len(found) != classes:
        raise ValueError(
            f"{folder}/{LABELS}: {key}: {len(found)} class names, but the task has {classes} "
            "classes (data/zeroshot.tsv)."
        )
    return Prompts(found, list(templates))


def _of(path: Path, key: str) -> list[Any]:
    try:
        content: Mapping[str, list[Any]] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: no class names or templates in it ({error}).") from error
    if not content.get(key):
        raise ValueError(f"{path}: nothing for {key!r}; known: {', '.join(content)}.")
    return content[key]
