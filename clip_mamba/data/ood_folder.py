"""An out-of-distribution set from a user's folder: ``<level>/<category>/<picture>``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clip_mamba.data.categories import CATEGORIES
from clip_mamba.data.folder_task import as_png, pictures_below
from clip_mamba.stimuli.store import Stimulus, write_stimuli


def pack_ood_folder(
    folder: str | Path, condition: str, levels: Sequence[str], out_path: str | Path
) -> int:
    """Write a folder of distorted pictures as a set.

    Args:
        folder: Holds a folder per level, and in it one per category, of the benchmark's sixteen.
        condition: The set's name.
        levels: The levels, from weakest to strongest.
        out_path: The tar to write.

    Returns:
        The number of stimuli.

    Raises:
        ValueError: If a level has no picture of any category, or a folder is none of these.
    """
    stimuli: list[tuple[Stimulus, dict[str, str]]] = []
    for level in levels:
        place = Path(folder) / level
        found = [(name, p) for name in CATEGORIES for p in pictures_below(place / name)]
        unknown = [p.name for p in place.glob("*") if p.is_dir() and p.name not in CATEGORIES]
        if not found or unknown:
            what = f"{unknown[0]!r} is no category" if unknown else "there is no picture in it"
            raise ValueError(
                f"{place}: {what}; a level holds folders of pictures named after categories: "
                f"{', '.join(CATEGORIES)}."
            )
        for category, path in found:
            base = path.relative_to(place).with_suffix("").as_posix().replace("/", "-")
            name = f"{len(stimuli) + 1:04d}_{condition}_dnn_{level}_{category}_00_{base}.png"
            stimulus = Stimulus(level, category, 1, name, None, base, as_png(path))
            stimuli.append((stimulus, {"source": str(path.relative_to(folder))}))
    return write_stimuli(out_path, stimuli)
