"""Hateful Memes from a folder of the user's: ``dev.jsonl`` and ``img/``."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from clip_mamba.data.zeroshot_sets.pictures import Picture, Unreadable
from clip_mamba.data.zeroshot_sets.table import Entry

CONTENT = "dev.jsonl (for probing also train.jsonl) and the pictures in img/"
#: The first release has ``dev``; the second calls the same pictures ``dev_seen``.
LISTS = {"test": ("dev.jsonl", "dev_seen.jsonl"), "train": ("train.jsonl",)}


def pictures(
    entry: Entry, split: str, folder: Path, classes: Sequence[Sequence[str]]
) -> tuple[Iterator[Picture | Unreadable], str]:
    """Read a list and its pictures.

    Args:
        entry: The task.
        split: ``test``, for which the development set stands, or ``train``.
        folder: The user's.
        classes: SLIP's names of each class: harmless, hateful.

    Returns:
        The pictures with their labels, and what those say.

    Raises:
        ValueError: If the folder has no list.
    """
    names = LISTS[split]
    listed = next((folder / name for name in names if (folder / name).is_file()), None)
    if listed is None:
        raise ValueError(
            f"{entry.name}: {folder} has no {' or '.join(names)}. It should hold that list and "
            "the pictures in img/."
        )
    return _read(entry.name, listed), f"0 is {classes[0][0]!r}, 1 is {classes[1][0]!r}"


def _read(task: str, listed: Path) -> Iterator[Picture | Unreadable]:
    folder = listed.parent.resolve()
    for number, line in enumerate(listed.read_text().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            path, label = (folder / row["img"]).resolve(), int(row["label"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{task}: {listed}, line {number}: no img and label.") from error
        if not path.is_relative_to(folder):
            raise ValueError(f"{task}: {listed}, line {number}: {row['img']} leaves the folder.")
        if path.is_file():
            yield Picture(path.stem, path.suffix[1:].lower(), path.read_bytes(), label)
        else:
            yield Unreadable(path.stem, "not in the folder")
