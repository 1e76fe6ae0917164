"""Sets of stimuli on disk: one tar of pictures and what is known of each.

A set is a tar in webdataset's layout: ``<key>.png`` and ``<key>.json`` per stimulus. The key is the
stimulus's place and name; the exact name, which may hold dots, is in the JSON.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from clip_mamba.data.shards import Sample, read_tar, to_json, write_tar


@dataclass(frozen=True)
class Stimulus:
    """One stimulus of a set."""

    level: str
    category: str
    session: int
    imagename: str
    #: Category of the texture, on cue-conflict pictures.
    texture: str | None
    #: What it was made from: an object of ours, or a picture of the benchmark's.
    base: str
    png: bytes

    @property
    def image(self) -> Image.Image:
        """The picture."""
        return Image.open(io.BytesIO(self.png)).convert("RGB")


#: What the JSON of every stimulus holds.
FIELDS = ("level", "category", "session", "imagename", "texture", "base")


def write_stimuli(path: str | Path, stimuli: Iterable[tuple[Stimulus, Mapping[str, Any]]]) -> int:
    """Write a set, atomically; equal stimuli give equal bytes.

    Args:
        path: The tar.
        stimuli: Each stimulus with further facts for its JSON.

    Returns:
        The number of stimuli written.
    """
    return write_tar(path, _samples(stimuli))


def _samples(stimuli: Iterable[tuple[Stimulus, Mapping[str, Any]]]) -> Iterator[Sample]:
    for number, (stimulus, facts) in enumerate(stimuli, 1):
        record = {name: value for name, value in asdict(stimulus).items() if name in FIELDS}
        # webdataset ends the key at the first dot.
        stem = stimulus.imagename.rpartition(".")[0].replace(".", "-")
        yield f"{number:05d}-{stem}", {"png": stimulus.png, "json": to_json(record | dict(facts))}


def read_stimuli(path: str | Path) -> list[Stimulus]:
    """Read a set written by :func:`write_stimuli`.

    Args:
        path: The tar.

    Returns:
        The stimuli in the order of the tar.

    Raises:
        ValueError: If the tar holds no stimulus.
    """
    stimuli = []
    for _, files in read_tar(path):
        record = json.loads(files["json"])
        stimuli.append(Stimulus(**{name: record[name] for name in FIELDS}, png=files["png"]))
    if not stimuli:
        raise ValueError(f"{path} holds no stimulus: make it again")
    return stimuli
