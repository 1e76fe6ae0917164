"""The benchmark's 17 sets as its authors released them: fetched, unpacked, and repacked.

model-vs-human (Geirhos et al., NeurIPS 2021) has one archive per set, in one of two layouts:

- ``sessions``: ``<set>/dnn/session-1/NNNN_experiment_dnn_<level>_<category>_<count>_<picture>``,
- ``categories``: ``<set>/<category>/<picture>``, the sets without levels; on cue-conflict pictures
  the texture is in the name (``dog10-bird2.png``: a dog's shape, a bird's texture).
"""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from PIL import Image
from tqdm import tqdm

from clip_mamba.corruptions.levels import LEVELS, check_condition, normalise_level
from clip_mamba.data.archives import unpack
from clip_mamba.data.categories import CATEGORIES
from clip_mamba.data.download import download
from clip_mamba.data.sources import TABLES
from clip_mamba.ood.trials import image_id, texture_category
from clip_mamba.stimuli.store import Stimulus, write_stimuli

Layout = Literal["sessions", "categories"]

#: What counts as a picture.
SUFFIXES = {".png", ".jpg", ".jpeg"}


@dataclass(frozen=True)
class Release:
    """One row of ``data/ood.tsv``."""

    condition: str
    url: str
    layout: Layout
    #: Pictures in the archive, as many as each person saw.
    images: int
    #: People whose answers there are.
    people: int
    licence: str


def read_releases(path: str | Path = TABLES / "ood.tsv") -> dict[str, Release]:
    """Read which sets there are and where.

    Args:
        path: A tab-separated table with the fields of :class:`Release`.

    Returns:
        The rows by condition.

    Raises:
        ValueError: If a row names an unknown condition or layout.
    """
    releases = {}
    with open(path, newline="") as file:
        for line, row in enumerate(csv.DictReader(file, delimiter="\t"), start=2):
            if row["layout"] not in get_args(Layout):
                known = ", ".join(get_args(Layout))
                raise ValueError(f"{path}, line {line}: unknown layout; known: {known}")
            counts = {"images": int(row["images"]), "people": int(row["people"])}
            condition = check_condition(row["condition"])
            releases[condition] = Release(**{**row, **counts})  # type: ignore[arg-type]
    return releases


def fetch_release(
    condition: str, target: str | Path, *, table: str | Path = TABLES / "ood.tsv"
) -> Path:
    """Download the archive of a set; its checksum is recorded on first use.

    Args:
        condition: The set.
        target: Where the archive goes.
        table: See :func:`read_releases`.

    Returns:
        The target.
    """
    return download(read_releases(table)[check_condition(condition)].url, target)


def repack(
    archive: str | Path,
    condition: str,
    out_path: str | Path,
    *,
    table: str | Path = TABLES / "ood.tsv",
) -> int:
    """Turn an archive as released into a set as :func:`clip_mamba.stimuli.read_stimuli` has it.

    Args:
        archive: The released archive.
        condition: The set that it holds.
        out_path: The tar to write: equal archives give equal bytes.
        table: See :func:`read_releases`.

    Returns:
        The number of stimuli.
    """
    release = read_releases(table)[check_condition(condition)]
    out_path = Path(out_path)
    out_path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out_path.parent, prefix=f".{condition}.") as folder:
        pictures = _pictures(unpack(archive, folder), release)
        stimuli = [(describe(path, release), path) for path in pictures]
        _check([stimulus for stimulus, _ in stimuli], release)
        bar = tqdm(stimuli, desc=f"repack {condition}", unit="pictures", mininterval=1, delay=5)
        return write_stimuli(out_path, _decoded(bar))


def _pictures(folder: Path, release: Release) -> list[Path]:
    """Return the pictures of a release, in the order in which the benchmark shows them.

    Raises:
        ValueError: If there is none where the layout has them.
    """
    sessions = release.layout == "sessions"
    root = folder / release.condition / ("dnn" if sessions else "")
    found = [
        path
        for path in root.glob("*/*")
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    ]
    if not found:
        inside = sorted(str(path.relative_to(folder)) for path in folder.glob("*/*"))[:4]
        wanted = f"{release.condition}/dnn/session-1" if sessions else f"{release.condition}/bear"
        raise ValueError(
            f"the release of {release.condition!r} has no picture in folders such as {wanted}; it "
            f"begins with: {', '.join(inside) or 'nothing'}"
        )
    return sorted(found, key=lambda path: (path.parent.name, path.name))


def describe(path: Path, release: Release) -> Stimulus:
    """Read from a picture's path what it shows.

    Args:
        path: The picture, below the folders of its release.
        release: The set.

    Returns:
        The stimulus, still without its picture.

    Raises:
        ValueError: If the name does not have the benchmark's form, or its category or level is
            none of the benchmark's.
    """
    folder, name, session, level = path.parent.name, path.name, 1, "0"
    category = folder
    try:
        if release.layout == "sessions":
            session = int(folder.removeprefix("session-"))
            level, category = name.split("_")[3:5]
        level = normalise_level(release.condition, level)
    except ValueError as error:
        raise ValueError(
            f"{folder}/{name}: not named as a stimulus of {release.condition!r}: {error}"
        ) from error
    if category not in CATEGORIES or level not in LEVELS[release.condition]:
        raise ValueError(
            f"{folder}/{name}: category {category!r} or level {level!r} is not one of "
            f"{release.condition!r}; levels: {', '.join(LEVELS[release.condition])}"
        )
    texture = texture_category(name) if release.condition == "cue-conflict" else None
    return Stimulus(level, category, session, name, texture, image_id(name), b"")


def _check(stimuli: list[Stimulus], release: Release) -> None:
    """Refuse half a set: its metrics could not be compared with people's.

    Raises:
        ValueError: If pictures, categories or levels are missing.
    """
    absent = [name for name in CATEGORIES if name not in {s.category for s in stimuli}]
    absent += [name for name in LEVELS[release.condition] if name not in {s.level for s in stimuli}]
    if absent or len(stimuli) != release.images:
        missing = f"; nothing of {', '.join(absent)}" if absent else ""
        raise ValueError(
            f"the release of {release.condition!r} holds {len(stimuli)} pictures, and the table of "
            f"sets says {release.images}{missing}. Fetch it again"
        )


def _decoded(stimuli: Iterator[tuple[Stimulus, Path]]) -> Iterator[tuple[Stimulus, dict[str, str]]]:
    """Yield stimuli with their pictures: PNG files as they are, others decoded and stored as PNG.

    Raises:
        ValueError: If a picture is damaged.
    """
    for stimulus, path in stimuli:
        png = path.read_bytes()
        try:
            with Image.open(io.BytesIO(png)) as image:
                image.load()
                if image.format != "PNG":
                    buffer = io.BytesIO()
                    image.convert("RGB").save(buffer, "PNG")
                    png = buffer.getvalue()
        except (OSError, SyntaxError) as error:
            raise ValueError(f"{path.parent.name}/{path.name} is damaged: {error}") from error
        yield replace(stimulus, png=png), {"kind": "released"}
