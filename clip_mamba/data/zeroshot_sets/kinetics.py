"""Kinetics-700-2020: the middle frame of each validation clip in a folder of the user's."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from clip_mamba.data.zeroshot_sets.frames import middle_frame
from clip_mamba.data.zeroshot_sets.label_order import ByName
from clip_mamba.data.zeroshot_sets.pictures import Picture, Unreadable
from clip_mamba.data.zeroshot_sets.table import Entry

LISTS = ("val.csv", "validate.csv")
VIDEOS = {".mp4", ".mkv", ".webm", ".avi"}
CONTENT = (
    "val.csv (columns label, youtube_id, time_start, time_end) and the clips "
    "<youtube_id>_<start>_<end>.mp4 (seconds, six digits), in subfolders or not"
)


def pictures(
    entry: Entry, split: str, folder: Path, classes: Sequence[Sequence[str]]
) -> tuple[Iterator[Picture | Unreadable], str]:
    """Read the middle frames.

    Args:
        entry: The task.
        split: ``test``, for which the validation clips stand.
        folder: The user's.
        classes: SLIP's names of each class.

    Returns:
        The frames with SLIP's classes; how labels became classes, and how many clips there are
        of those that are listed.

    Raises:
        ValueError: If the folder has no list or none of the listed clips.
    """
    del split
    listed = next((folder / name for name in LISTS if (folder / name).is_file()), None)
    if listed is None:
        raise ValueError(f"{entry.name}: {folder} has no val.csv. It should hold {CONTENT}.")
    class_of = ByName(entry.name, classes)
    wanted = {stem: class_of(label) for stem, label in _listed(entry.name, listed)}
    clips = {path.stem: path for path in sorted(folder.rglob("*")) if path.suffix in VIDEOS}
    found = {stem: label for stem, label in wanted.items() if stem in clips}
    if not found:
        raise ValueError(
            f"{entry.name}: {folder} has none of the {len(wanted)} clips of {listed.name}. "
            f"It should hold {CONTENT}."
        )
    return _frames(clips, found), f"by name; {len(found)} of {len(wanted)} listed clips are there"


def _listed(task: str, path: Path) -> Iterator[tuple[str, str]]:
    # The name of each clip, and of its class.
    with open(path, newline="") as file:
        for line, row in enumerate(csv.DictReader(file), start=2):
            try:
                start, end = (int(float(row[key])) for key in ("time_start", "time_end"))
                yield f"{row['youtube_id']}_{start:06d}_{end:06d}", row["label"]
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(
                    f"{task}: {path}, line {line}: needs label, youtube_id, time_start, time_end."
                ) from error


def _frames(clips: dict[str, Path], wanted: dict[str, int]) -> Iterator[Picture | Unreadable]:
    for stem, label in wanted.items():
        try:
            yield Picture(stem, "jpg", middle_frame(clips[stem].read_bytes()), label)
        except (OSError, ValueError) as error:
            yield Unreadable(stem, str(error))
