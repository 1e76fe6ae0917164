"""Webdataset mirrors of CLIP_benchmark (Hugging Face, ``clip-benchmark/wds_<name>``).

``classnames.txt``, ``<split>/nshards.txt`` and ``<split>/<number>.tar`` with ``<key>.jpg`` (or
``png``, ``webp``) and ``<key>.cls``; a retrieval set has ``<key>.txt``, one caption a line.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from clip_mamba.data.shards import read_tar
from clip_mamba.data.zeroshot_sets.files import obtain
from clip_mamba.data.zeroshot_sets.label_order import align, describe
from clip_mamba.data.zeroshot_sets.pictures import Picture, Unreadable, find_image
from clip_mamba.data.zeroshot_sets.table import Entry

NAMES = "classnames.txt"


def fetch(entry: Entry, split: str, folder: Path) -> list[Path]:
    """Download a split.

    Args:
        entry: The task.
        split: ``test`` or ``train``.
        folder: Where files go, laid out as in the mirror.

    Returns:
        The files.
    """
    names = obtain(f"{entry.source[0]}/{NAMES}", folder / NAMES)
    return [names, *fetch_shards(entry.source[0], split, folder)]


def fetch_shards(base: str, split: str, folder: Path) -> list[Path]:
    """Download the shards of a split.

    Args:
        base: Address of the mirror's top folder.
        split: ``test`` or ``train``.
        folder: Where files go.

    Returns:
        The files: the number of shards, then the shards.
    """
    number = obtain(f"{base}/{split}/nshards.txt", folder / split / "nshards.txt")
    names = [f"{split}/{shard}.tar" for shard in range(_shards(number))]
    return [number, *(obtain(f"{base}/{name}", folder / name) for name in names)]


def pictures(
    entry: Entry, split: str, folder: Path, classes: Sequence[Sequence[str]]
) -> tuple[Iterator[Picture | Unreadable], str]:
    """Read a downloaded split.

    Args:
        entry: The task.
        split: ``test`` or ``train``.
        folder: Where :func:`fetch` put it.
        classes: SLIP's names of each class.

    Returns:
        The pictures with SLIP's classes, and how labels became classes.

    Raises:
        ValueError: If the class names are missing or do not fit.
    """
    path = folder / NAMES
    names = [line.strip() for line in path.read_text().splitlines() if line.strip()]
    if not names:
        raise ValueError(f"{entry.name}: {path} has no class names. Delete it and run again.")
    order = align(entry.name, names, classes)
    return _labelled(entry.name, split, folder, order), describe(entry.name, names, classes)


def read_split(split: str, folder: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Read all shards of a split in order.

    Args:
        split: ``test`` or ``train``.
        folder: Where :func:`fetch_shards` put them.

    Yields:
        Key and files of each sample.
    """
    for shard in range(_shards(folder / split / "nshards.txt")):
        yield from read_tar(folder / split / f"{shard}.tar")


def _labelled(
    task: str, split: str, folder: Path, order: list[int]
) -> Iterator[Picture | Unreadable]:
    for key, files in read_split(split, folder):
        found = find_image(files)
        if found is None or "cls" not in files:
            yield Unreadable(key, "no picture" if found is None else "no label")
            continue
        label = int(files["cls"])
        if not 0 <= label < len(order):
            raise ValueError(
                f"{task}: {key} has label {label}, outside 0 to {len(order) - 1}. "
                "The mirror is damaged, or not the set of the table."
            )
        yield Picture(key, *found, order[label])


def _shards(path: Path) -> int:
    text = path.read_text().strip()
    if not text.isdigit() or not int(text):
        raise ValueError(f"{path}: {text[:40]!r} is no number of shards.")
    return int(text)
