"""UCF101: the middle frame of each clip of the first split."""

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from clip_mamba.data.zeroshot_sets.files import obtain
from clip_mamba.data.zeroshot_sets.frames import middle_frame
from clip_mamba.data.zeroshot_sets.label_order import ByName
from clip_mamba.data.zeroshot_sets.pictures import Picture, Unreadable
from clip_mamba.data.zeroshot_sets.table import Entry

CLIPS, LISTS = "UCF101.zip", "UCF101TrainTestSplits-RecognitionTask.zip"


def fetch(entry: Entry, split: str, folder: Path) -> list[Path]:
    """Download clips and lists.

    Args:
        entry: The task.
        split: ``test`` or ``train``; the same either way.
        folder: Where they go.

    Returns:
        The files.
    """
    del split
    return [
        obtain(url, folder / name) for url, name in zip(entry.source, (CLIPS, LISTS), strict=True)
    ]


def pictures(
    entry: Entry, split: str, folder: Path, classes: Sequence[Sequence[str]]
) -> tuple[Iterator[Picture | Unreadable], str]:
    """Read the middle frames of a split.

    Args:
        entry: The task.
        split: ``test`` or ``train``.
        folder: Where :func:`fetch` put the archives.
        classes: SLIP's names of each class.

    Returns:
        The frames with SLIP's classes, and how labels became classes.
    """
    class_of = ByName(entry.name, classes)
    # "ApplyLipstick/v_ApplyLipstick_g01_c01.avi", in the training list followed by a number.
    listed = [line.split()[0] for line in _list(folder / LISTS, f"{split}list01.txt")]
    wanted = {PurePosixPath(name).name: class_of(name.partition("/")[0]) for name in listed}
    return _frames(folder / CLIPS, wanted), "by name: the folder of each clip"


def _list(archive: Path, name: str) -> list[str]:
    with zipfile.ZipFile(archive) as lists:
        for member in lists.namelist():
            if PurePosixPath(member).name == name:
                return [line for line in lists.read(member).decode().splitlines() if line.strip()]
    raise ValueError(f"ucf101: {archive} has no {name}; it is not the list of splits.")


def _frames(archive: Path, wanted: dict[str, int]) -> Iterator[Picture | Unreadable]:
    with zipfile.ZipFile(archive) as clips:
        # Only read, never unpacked: nothing can land outside a folder.
        members = {PurePosixPath(member).name: member for member in clips.namelist()}
        for name, label in wanted.items():
            key = PurePosixPath(name).stem
            try:
                frame = middle_frame(clips.read(members[name]))
                # v_ApplyLipstick_g01_c01: clips of one group are cut from one video.
                yield Picture(key, "jpg", frame, label, cluster=key.rpartition("_")[0])
            except KeyError:
                yield Unreadable(key, "not in the archive")
            except (ValueError, zipfile.BadZipFile) as error:
                yield Unreadable(key, str(error))
