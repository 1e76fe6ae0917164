"""The files of a corpus in the reference's layout (:mod:`clip_mamba.data.tsv_corpus`)."""

from __future__ import annotations

import re
from pathlib import Path


def image_files(folder: str | Path) -> list[Path]:
    """List the files of pictures, in the order that ``img_location`` counts.

    Args:
        folder: The corpus.

    Returns:
        ``train-image-*.tsv`` by number.

    Raises:
        ValueError: If there is none.
    """
    found = sorted(Path(folder).glob("train-image-*.tsv"), key=_number)
    if not found:
        raise ValueError(
            f"{folder} has no train-image-*.tsv. Set corpus.folder to the folder that has them."
        )
    return found


def annotation_file(images: Path) -> Path:
    """Return the annotations that belong to a file of pictures.

    Args:
        images: ``train-image-003.tsv``.

    Returns:
        ``train-annos-2caps-003.json`` beside it.

    Raises:
        ValueError: If it is missing.
    """
    name = images.name.replace("image", "annos-2caps").replace(".tsv", ".json")
    if not images.with_name(name).exists():
        raise ValueError(f"{images.with_name(name)} is missing; it has the captions of {images}.")
    return images.with_name(name)


def _number(path: Path) -> tuple[int, str]:
    found = re.search(r"(\d+)\.tsv$", path.name)
    return (int(found[1]) if found else -1), path.name
