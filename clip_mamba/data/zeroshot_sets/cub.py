"""CUB-200-2011 from Caltech's archive and its text indexes."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from clip_mamba.data.archives import unpack
from clip_mamba.data.zeroshot_sets.files import obtain
from clip_mamba.data.zeroshot_sets.label_order import align, describe
from clip_mamba.data.zeroshot_sets.pictures import Picture, Unreadable
from clip_mamba.data.zeroshot_sets.table import Entry

ARCHIVE = "CUB_200_2011.tgz"
LABELS = "image_class_labels.txt"
#: In train_test_split.txt.
TRAINING = {"test": "0", "train": "1"}


def fetch(entry: Entry, split: str, folder: Path) -> list[Path]:
    """Download the archive, which holds both splits.

    Args:
        entry: The task.
        split: ``test`` or ``train``; the same either way.
        folder: Where it goes.

    Returns:
        The file.
    """
    del split
    return [obtain(entry.source[0], folder / ARCHIVE)]


def pictures(
    entry: Entry, split: str, folder: Path, classes: Sequence[Sequence[str]]
) -> tuple[Iterator[Picture | Unreadable], str]:
    """Read a split.

    Args:
        entry: The task.
        split: ``test`` or ``train``.
        folder: Where :func:`fetch` put the archive.
        classes: SLIP's names of each class.

    Returns:
        The pictures with SLIP's classes, and how labels became classes.
    """
    scratch = tempfile.TemporaryDirectory(dir=folder, prefix=".cub-")
    top = unpack(folder / ARCHIVE, scratch.name) / "CUB_200_2011"
    # "1 001.Black_footed_Albatross"
    names = [line.partition(".")[2] for line in _index(top / "classes.txt").values()]
    order = align(entry.name, names, classes)
    return _read(scratch, top, split, order), describe(entry.name, names, classes)


def _read(
    scratch: tempfile.TemporaryDirectory[str], top: Path, split: str, order: list[int]
) -> Iterator[Picture | Unreadable]:
    with scratch:
        training, labels = _index(top / "train_test_split.txt"), _index(top / LABELS)
        for number, name in _index(top / "images.txt").items():
            if training[number] != TRAINING[split]:
                continue
            path, label = top / "images" / name, int(labels[number]) - 1
            if not 0 <= label < len(order):
                raise ValueError(f"cub: {name} has label {label + 1}, outside 1 to {len(order)}.")
            if path.is_file():
                yield Picture(path.stem, "jpg", path.read_bytes(), order[label])
            else:
                yield Unreadable(path.stem, "not in the archive")


def _index(path: Path) -> dict[str, str]:
    # Lines of a number and what belongs to it.
    if not path.is_file():
        raise ValueError(f"cub: the archive has no {path.name}; it is not CUB-200-2011.")
    pairs = (line.split(maxsplit=1) for line in path.read_text().splitlines() if line.strip())
    return {number: value.strip() for number, value in pairs}
