"""Zero-shot tasks on disk: what ``task.json`` says, and the pictures beside it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, model_validator

from clip_mamba.data.described import Described
from clip_mamba.data.shards import Sample, check_shard, decode, read_tar, write_tar
from clip_mamba.files import sha256
from clip_mamba.seeding import generator

#: Picture formats in a task's tar.
IMAGE_EXTENSIONS = ("png", "jpg", "jpeg", "webp")
#: What Pillow raises for a picture that it cannot read.
UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)


class Neighbours(BaseModel):
    """How a training sample gets a class: the value of one of its fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    field: str
    values: dict[str, int]


class TrainSplit(BaseModel):
    """Labelled training pictures of a task, for linear probing: ``train.tar``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    split: str
    examples: int = Field(gt=0)
    unreadable: int = Field(default=0, ge=0, description="pictures left out")
    held_out: float = Field(default=0.2, gt=0, lt=1, description="share kept for validation")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="of train.tar")


class Task(Described):
    """A zero-shot classification task, as in ``task.json``.

    A task whose pictures are not at hand says why in ``missing`` and has no examples.
    """

    FILE = "task.json"

    name: str
    title: str
    split: str
    report_split: str | None = Field(default=None, description="the report's, if it differs")
    metric: str = "top1"
    classes: list[list[str]] = Field(min_length=2, description="synonyms of each class")
    templates: list[str] = Field(min_length=1)
    examples: int = Field(ge=0)
    unreadable: int = Field(default=0, ge=0, description="pictures left out")
    chance: float = Field(gt=0, lt=1)
    majority: float = Field(ge=0, le=1, description="share of the largest class")
    label_order: str | None = Field(default=None, description="how labels became classes")
    note: str | None = Field(default=None, description="what a reader of the number must know")
    missing: str | None = Field(default=None, description="why there are no pictures")
    neighbours: Neighbours | None = None
    neighbours_reason: str | None = None
    train: TrainSplit | None = None
    licence: str
    source: str
    sha256: str = Field(pattern="^([0-9a-f]{64})?$", description="of test.tar")

    @model_validator(mode="after")
    def _consistent(self) -> Task:
        # What a schema cannot say: names, templates and numbers that must agree.
        if any(not names or any(not name.strip() for name in names) for names in self.classes):
            raise ValueError("every class needs at least one name, and no name may be empty")
        for template in self.templates:
            if template.count("{}") != 1:
                raise ValueError(f"template {template!r} needs exactly one {{}}")
        expected = chance(self.metric, len(self.classes))
        if abs(self.chance - expected) > 1e-9:
            raise ValueError(f"chance {self.chance} is not 1 / {1 / expected:g}")
        if (self.missing is None) != bool(self.examples and self.sha256 and self.majority):
            raise ValueError("a task has examples and their sha256, or says what is missing")
        if self.neighbours is None and not self.neighbours_reason:
            raise ValueError("without neighbours, neighbours_reason must say why")
        return self


def chance(metric: str, classes: int) -> float:
    """Return what guessing scores.

    Args:
        metric: A name in :data:`clip_mamba.zeroshot.METRICS`.
        classes: Their number.

    Returns:
        The expected value under uniform guesses, in (0, 1).
    """
    if metric == "mean_top1_top5":
        return (1 + min(5, classes)) / (2 * classes)
    return 1 / classes


@dataclass(frozen=True)
class Example:
    """One sample of a task's tar, not yet decoded."""

    key: str
    image: bytes
    label: int
    facts: dict[str, Any]


def read_examples(tar: str | Path) -> Iterator[Example | str]:
    """Read the samples of a task's tar one by one, in order.

    Args:
        tar: ``test.tar`` or ``train.tar``: ``<key>.png|jpg|webp``, ``<key>.cls`` and, where
            there is something to say, ``<key>.json``.

    Yields:
        The sample; its bare key if picture or label are absent or not understood.
    """
    for key, files in read_tar(tar):
        picture = next((files[e] for e in IMAGE_EXTENSIONS if e in files), None)
        try:
            label, facts = int(files["cls"]), json.loads(files.get("json", b"{}"))
        except (KeyError, ValueError):
            yield key
            continue
        yield key if picture is None else Example(key, picture, label, facts)


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
    """Read and decode every sample.

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
    for example in read_examples(tar):
        if isinstance(example, str):
            found.corrupt.append(example)
            continue
        try:
            found.images.append(decode(example.image))
        except UNREADABLE:
            found.corrupt.append(example.key)
            continue
        found.keys.append(example.key)
        found.metadata.append(example.facts)
        labels.append(example.label)
    if not labels:
        raise ValueError(f"{tar} holds no readable picture. Build it again.")
    found.labels = np.array(labels, dtype=np.int64)
    return found


def write_task(
    out_dir: str | Path, samples: Iterable[Sample], labels: Sequence[int], **facts: Any
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
    write_tar(Path(out_dir) / "test.tar", samples)
    return finish_task(out_dir, labels, **facts)


def finish_task(out_dir: str | Path, labels: Sequence[int], **facts: Any) -> Task:
    """Write the ``task.json`` of a ``test.tar`` that is there.

    Args:
        out_dir: The task's folder.
        labels: The class of each sample in the tar.
        **facts: The fields of :class:`Task` that cannot be counted.

    Returns:
        The task.
    """
    task = Task(
        examples=len(labels),
        chance=chance(facts.get("metric", "top1"), len(facts["classes"])),
        majority=max(Counter(labels).values()) / len(labels),
        sha256=sha256(Path(out_dir) / "test.tar"),
        **facts,
    )
    task.write(Path(out_dir) / "task.json")
    return task


def write_missing(out_dir: str | Path, reason: str, **facts: Any) -> Task:
    """Write the ``task.json`` of a task whose pictures are not at hand.

    Args:
        out_dir: The task's folder.
        reason: Why, and what to do about it.
        **facts: The fields of :class:`Task` that are known nevertheless.

    Returns:
        The task.
    """
    task = Task(
        missing=reason,
        examples=0,
        chance=chance(facts.get("metric", "top1"), len(facts["classes"])),
        majority=0,
        sha256="",
        **facts,
    )
    task.write(Path(out_dir) / "task.json")
    return task


def held_out(labels: Sequence[int], share: float = 0.2, seed: int = 0) -> np.ndarray:
    """Choose training pictures that a linear probe validates on.

    Args:
        labels: Class of each training picture.
        share: How much of each class to keep, rounded but at least one; no class gives its only
            picture.
        seed: Seed of the draw.

    Returns:
        (n,) boolean: true for validation.
    """
    classes, rng = np.asarray(labels), generator(seed, "linear probe", "validation")
    chosen = np.zeros(len(classes), dtype=bool)
    for label in np.unique(classes):
        members = rng.permutation(np.flatnonzero(classes == label))
        count = min(max(1, round(share * len(members))), len(members) - 1)
        chosen[members[:count]] = True
    return chosen
