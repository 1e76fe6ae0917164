"""Fetch and prepare a task: what the workflow's rules call."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from clip_mamba.data.shards import write_tar
from clip_mamba.data.tasks import Task, TrainSplit, finish_task, write_missing
from clip_mamba.data.zeroshot_sets import cub, hateful_memes, kinetics, mirrors, ucf101
from clip_mamba.data.zeroshot_sets.files import check_manifest, write_manifest
from clip_mamba.data.zeroshot_sets.pictures import Checked, Picture, Unreadable
from clip_mamba.data.zeroshot_sets.prompts import Prompts, read_prompts
from clip_mamba.data.zeroshot_sets.table import Entry, find_entry, read_entries
from clip_mamba.files import atomic_write, sha256

Pictures = tuple[Iterator[Picture | Unreadable], str]
#: What downloads a split, by kind of source; gated sets have none.
FETCH: dict[str, Callable[[Entry, str, Path], list[Path]]] = {
    "webdataset": mirrors.fetch,
    "cub": cub.fetch,
    "ucf101": ucf101.fetch,
}
#: What reads a split, by kind of source.
READ: dict[str, Callable[[Entry, str, Path, Sequence[Sequence[str]]], Pictures]] = {
    "webdataset": mirrors.pictures,
    "cub": cub.pictures,
    "ucf101": ucf101.pictures,
    "kinetics": kinetics.pictures,
    "hateful-memes": hateful_memes.pictures,
}

#: What a gated set's folder must hold, by kind of source.
CONTENTS = {"kinetics": kinetics.CONTENT, "hateful-memes": hateful_memes.CONTENT}


def fetch_task(name: str, manifest: str | Path, split: str = "test") -> None:
    """Download a split of a task, or what is left of it.

    Args:
        name: A task of ``data/zeroshot.tsv`` that is not gated.
        manifest: The list of files to write, last of all; the files go beside it.
        split: ``test`` or ``train``.

    Raises:
        ValueError: If the task is gated, or has no training pictures.
    """
    entry = find_entry(name)
    if entry.kind not in FETCH:
        raise ValueError(_remedy(entry))
    _check_train(entry, split)
    write_manifest(manifest, FETCH[entry.kind](entry, split, Path(manifest).parent))


def prepare_task(
    name: str,
    out_dir: str | Path,
    *,
    prompts: str | Path,
    manifest: str | Path | None = None,
    folder: str | Path | None = None,
    threads: int = 1,
) -> Task:
    """Write ``test.tar`` and ``task.json``, or only the latter if a gated set is absent.

    Args:
        name: A task of ``data/zeroshot.tsv``.
        out_dir: Where they go.
        prompts: Folder of SLIP's files.
        manifest: What :func:`fetch_task` wrote.
        folder: The user's folder of a gated set.
        threads: Pictures decoded at once.

    Returns:
        The task.
    """
    entry = find_entry(name)
    words = read_prompts(prompts, entry.prompts, entry.classes)
    facts = _facts(entry, words)
    if entry.gated and folder is None:
        print(f"{name}: {_remedy(entry)}")
        return write_missing(out_dir, _remedy(entry), **facts)
    pictures, order = _read(entry, "test", manifest, folder, words)
    checked = Checked(name, entry.classes)
    write_tar(Path(out_dir) / "test.tar", checked.samples(pictures, threads))
    return finish_task(
        out_dir,
        checked.labels,
        unreadable=len(checked.unreadable),
        label_order=order,
        **facts | {"note": _remark(entry, len(checked.labels), order)},
    )


def prepare_train(
    name: str,
    out_dir: str | Path,
    *,
    test: str | Path,
    prompts: str | Path,
    manifest: str | Path | None = None,
    folder: str | Path | None = None,
    threads: int = 1,
) -> Task:
    """Write a folder for linear probing: the task, its ``test.tar`` and a ``train.tar``.

    Args:
        name: A task of ``data/zeroshot.tsv``.
        out_dir: Where they go.
        test: Folder of the prepared task.
        prompts: Folder of SLIP's files.
        manifest: What :func:`fetch_task` wrote for ``train``.
        folder: The user's folder of a gated set.
        threads: Pictures decoded at once.

    Returns:
        The task; it is missing here if it is missing there.

    Raises:
        ValueError: If the test pictures are others than the table's, which might be among the
            training pictures.
    """
    entry, task = find_entry(name), Task.read(test)
    _check_train(entry, "train")
    if task.missing:
        task.write(Path(out_dir) / "task.json")
        return task
    if task.split != entry.split:
        raise ValueError(
            f"{name}: the test pictures are {task.split!r}, not {entry.split!r}: a probe could "
            "be tested on what it was trained on."
        )
    words = read_prompts(prompts, entry.prompts, entry.classes)
    pictures, _ = _read(entry, "train", manifest, folder, words)
    checked, tar = Checked(name, entry.classes), Path(out_dir) / "train.tar"
    examples = write_tar(tar, checked.samples(pictures, threads))
    split = TrainSplit(
        split="train", examples=examples, unreadable=len(checked.unreadable), sha256=sha256(tar)
    )
    _share(Path(test) / "test.tar", Path(out_dir) / "test.tar")
    task = task.model_copy(update={"train": split})
    task.write(Path(out_dir) / "task.json")
    return task


def _share(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no links."""
    with atomic_write(target) as temporary:
        temporary.unlink()
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)


def _read(
    entry: Entry,
    split: str,
    manifest: str | Path | None,
    folder: str | Path | None,
    words: Prompts,
) -> Pictures:
    if entry.gated:
        place = Path(folder or "")
        if folder is None or not place.is_dir():
            raise ValueError(f"{entry.name}: there is no folder {place}. {_remedy(entry)}")
    else:
        place = check_manifest(manifest or "")
    return READ[entry.kind](entry, split, place, words.classes)


def _facts(entry: Entry, words: Prompts) -> dict[str, Any]:
    return {
        "name": entry.name,
        "title": entry.title,
        "split": entry.split,
        "report_split": entry.report_split,
        "metric": entry.metric,
        "classes": words.classes,
        "templates": words.templates,
        "note": entry.note,
        "neighbours_reason": "no training sample carries a class of this task",
        "licence": entry.licence,
        "source": " ".join(entry.source),
    }


def _remark(entry: Entry, found: int, order: str) -> str | None:
    """Return what a reader of the number must know about its pictures."""
    parts = [entry.note] if entry.note else []
    if entry.examples is not None and found != entry.examples:
        parts.append(f"{found} pictures where {entry.examples} were expected")
        print(f"{entry.name}: WARNING: {parts[-1]}")
    if "listed clips" in order:
        parts.append(order.partition("; ")[2])
    return "; ".join(parts) or None


def _check_train(entry: Entry, split: str) -> None:
    if split == "train" and not entry.train:
        able = ", ".join(e.name for e in read_entries().values() if e.train)
        raise ValueError(
            f"{entry.name} has no training pictures in its source, so it cannot be probed. "
            f"These can: {able}."
        )


def _remedy(entry: Entry) -> str:
    return (
        f"{entry.title} is not public. Get it from {entry.source[0]}, put {CONTENTS[entry.kind]} "
        f"in a folder and name the folder under gated: {entry.name} in config.yaml."
    )
