"""Zero-shot tasks on disk: what ``task.json`` says, and the pictures beside it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from clip_mamba.data.shards import Sample, check_shard, decode, read_tar, write_tar
from clip_mamba.files import atomic_write, sha256


class Neighbours(BaseModel):
    """How a training sample gets a class: the value of one of its fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    field: str
    values: dict[str, int]


class Task(BaseModel):
    """A zero-shot classification task, as in ``task.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    title: str
    split: str
    metric: str = "top1"
    classes: list[list[str]] = Field(min_length=2, description="synonyms of each class")
    templates: list[str] = Field(min_length=1)
    examples: int = Field(gt=0)
    chance: float = Field(gt=0, lt=1)
    majority: float = Field(gt=0, le=1, description="share of the largest class")
    neighbours: Neighbours | None = None
    neighbours_reason: str | None = None
    licence: str
    source: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="of test.tar")

    @model_validator(mode="after")
    def _consistent(self) -> Task:
        # What a schema cannot say: names, templates and numbers that must agree.
        if any(not names or any(not name.strip() for name in names) for names in self.classes):
            raise ValueError("every class needs at least one name, and no name may be empty")
        for template in self.templates:
            if template.count("{}") != 1:
                raise ValueError(f"template {template!r} needs exactly one {{}}")
        if abs(self.chance - 1 / len(self.classes)) > 1e-9:
            raise ValueError(f"chance {self.chance} is not 1 / {len(self.classes)}")
        if self.neighbours is None and not self.neighbours_reason:
            raise ValueError("without neighbours, neighbours_reason must say why")
        return self

    @classmethod
    def read(cls, path: str | Path) -> Task:
        """Read and check a task.

        Args:
            path: ``task.json`` or the folder that holds it.

        Returns:
            The task.

        Raises:
            ValueError: If the file is missing or breaks the schema; the message names it.
        """
        path = Path(path)
        path = path / "task.json" if path.is_dir() else path
        try:
            return cls.model_validate_json(path.read_text())
        except FileNotFoundError as error:
            raise ValueError(f"{path} is missing. Build the task again.") from error
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "task"
            raise ValueError(f"{path}: {place}: {first['msg']}.") from error

    def write(self, path: str | Path) -> None:
        """Write ``task.json``, atomically.

        Args:
            path: The file.
        """
        with atomic_write(path) as temporary:
            temporary.write_text(self.model_dump_json(indent=1) + "\n")


@dataclass
class Images:
    """Decoded pictures of a tar with their classes."""

    keys: list[str]
    images: list[Image.Image]
    labels: np.ndarray
    metadata: list[dict[str, Any]]
    #: Keys of samples that could not be decoded and were left out.
    corrupt: list[str] = field(default_factory=list)


def read_images(tar: str | Path, *, expected_sha256: str | None = None) -> Images:
    """Read ``<key>.png``, ``<key>.cls`` and ``<key>.json`` of every sample.

    Args:
        tar: ``test.tar`` of a task, or any tar of that layout.
        expected_sha256: Refuse another file than this (:attr:`Task.sha256`).

    Returns:
        RGB pictures; damaged samples are skipped and their keys listed.

    Raises:
        ValueError: If the tar is missing, altered or truncated, or if nothing in it can be read.
    """
    if expected_sha256 is not None:
        check_shard(Path(tar), expected_sha256)
    found = Images([], [], np.empty(0, dtype=np.int64), [])
    labels: list[int] = []
    for key, files in read_tar(tar):
        try:
            image = decode(files["png"])
            label, facts = int(files["cls"]), json.loads(files["json"])
        except (OSError, ValueError, KeyError, SyntaxError):
            found.corrupt.append(key)
            continue
        found.keys.append(key)
        found.images.append(image)
        found.metadata.append(facts)
        labels.append(label)
    if not labels:
        raise ValueError(f"{tar} holds no readable picture. Build it again.")
    found.labels = np.array(labels, dtype=np.int64)
    return found


def write_task(
    out_dir: str | Path, samples: Sequence[Sample], labels: Sequence[int], **facts: Any
) -> Task:
    """Write ``test.tar`` and ``task.json``.

    Args:
        out_dir: The task's folder.
        samples: Pictures with their ``cls`` and ``json``.
        labels: The class of each sample, for the counts.
        **facts: The fields of :class:`Task` that cannot be counted.

    Returns:
        The task.
    """
    tar = Path(out_dir) / "test.tar"
    examples = write_tar(tar, samples)
    task = Task(
        examples=examples,
        chance=1 / len(facts["classes"]),
        majority=max(Counter(labels).values()) / examples,
        sha256=sha256(tar),
        **facts,
    )
    task.write(Path(out_dir) / "task.json")
    return task
