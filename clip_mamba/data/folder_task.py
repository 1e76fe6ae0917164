"""A zero-shot task from a user's folder of pictures: one folder per class."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from clip_mamba.data.shards import Sample, to_json
from clip_mamba.data.tasks import Task, write_task

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


def pictures_below(folder: Path) -> list[Path]:
    """List the pictures of a folder and its folders.

    Args:
        folder: The folder; need not exist.

    Returns:
        Files with the suffix of a picture, in alphabetical order.
    """
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)


def find_pictures(folder: str | Path) -> dict[str, list[Path]]:
    """List the pictures of each class.

    Args:
        folder: Holds a folder per class; what is no picture by its suffix is passed over.

    Returns:
        Class folder to its pictures, both in alphabetical order.

    Raises:
        ValueError: If there are fewer than two classes, or one without a picture.
    """
    folder = Path(folder)
    # Hidden folders, as notebooks leave them, are no classes.
    classes = sorted(path for path in folder.glob("[!.]*") if path.is_dir())
    found = {path.name: pictures_below(path) for path in classes}
    empty = [name for name, pictures in found.items() if not pictures]
    if len(found) < 2 or empty:
        what = f"class {empty[0]!r} has no picture" if empty else f"{len(found)} found"
        raise ValueError(
            f"{folder}: a task needs two or more folders, one per class, with pictures: {what}."
        )
    return found


def build_folder_task(
    folder: str | Path,
    out_dir: str | Path,
    *,
    name: str,
    templates: Sequence[str],
    metric: str = "top1",
    title: str | None = None,
) -> Task:
    """Write a folder of pictures as a task.

    A class is called like its folder, with underscores as spaces.

    Args:
        folder: Holds a folder per class.
        out_dir: The task's folder.
        name: The task's name.
        templates: Sentences with one ``{}`` for the class name.
        metric: A name in ``clip_mamba.zeroshot.METRICS``.
        title: As tables show it; the name if left out.

    Returns:
        The task.
    """
    found = find_pictures(folder)
    samples: list[Sample] = []
    labels: list[int] = []
    for label, pictures in enumerate(found.values()):
        for path in pictures:
            facts = {"source": str(path.relative_to(folder))}
            files = {
                "png": as_png(path),
                "cls": str(label).encode(),
                "json": to_json(facts),
            }
            samples.append((f"{name}-{len(samples):06d}", files))
            labels.append(label)
    return write_task(
        out_dir,
        samples,
        labels,
        name=name,
        title=title or name,
        split="folder",
        metric=metric,
        classes=[[kind.replace("_", " ")] for kind in found],
        templates=list(templates),
        neighbours=None,
        neighbours_reason="no training sample carries a class of this task",
        licence="the user's own",
        source=str(folder),
    )


def as_png(path: Path) -> bytes:
    """Read a picture of any common format.

    Args:
        path: The file.

    Returns:
        It as RGB, encoded as PNG.

    Raises:
        ValueError: If it is no picture, or damaged.
    """
    try:
        with Image.open(path) as image:
            buffer = BytesIO()
            image.convert("RGB").save(buffer, format="PNG")
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{path} cannot be read as a picture: {error}. Remove it.") from error
    return buffer.getvalue()
