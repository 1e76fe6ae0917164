"""The demo's retrieval set and linear-probing sets, made from its zero-shot tasks and corpus."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from clip_mamba.data.captions import captions
from clip_mamba.data.emoji import read_corpus
from clip_mamba.data.shards import Sample, check_shard, read_tar, to_json, write_tar
from clip_mamba.data.tasks import Task, TrainSplit
from clip_mamba.files import atomic_write, sha256
from clip_mamba.seeding import generator

#: The demo's retrieval set.
RETRIEVAL = "unseen-style"

#: Captions of each picture of it, at most; all of them name what is shown.
CAPTIONS = 3


def build_emoji_retrieval(
    task: str | Path, rendered: str | Path, out_dir: str | Path, *, seed: int = 0
) -> None:
    """Write the held-out drawings of a zero-shot task with captions, as a retrieval set.

    Args:
        task: Folder of the task with a class per concept.
        rendered: The tar of :func:`clip_mamba.data.emoji.render_corpus`, for the concepts' words.
        out_dir: The set's folder, for ``test.tar`` and ``retrieval.json``.
        seed: Seed of the captions.
    """
    about, concepts = Task.read(task), read_corpus(rendered).concepts
    source, out_dir = Path(task) / "test.tar", Path(out_dir)
    check_shard(source, about.sha256)
    written = 0

    def samples() -> Iterator[Sample]:
        nonlocal written
        for key, files in read_tar(source):
            code = json.loads(files["json"])["concept"]
            label = concepts[code].label
            texts = captions(concepts[code], generator(seed, "retrieval", code))
            named = [text for text in texts if label in text][:CAPTIONS]
            written += len(named)
            yield key, {"png": files["png"], "json": to_json({"captions": named})}

    images = write_tar(out_dir / "test.tar", samples())
    facts = {
        "name": RETRIEVAL,
        "title": "Unseen style",
        "split": about.split,
        "images": images,
        "captions": written,
        "licence": about.licence,
        "source": about.source,
        "sha256": sha256(out_dir / "test.tar"),
    }
    with atomic_write(out_dir / "retrieval.json") as temporary:
        temporary.write_text(json.dumps(facts, indent=1) + "\n")


def build_emoji_probe(
    task: str | Path, index: str | Path, out_dir: str | Path, *, examples: int, seed: int = 0
) -> Task:
    """Write a zero-shot task with labelled training pictures from the corpus beside it.

    Args:
        task: Folder of a task that says how a training picture gets a class.
        index: ``index.json`` of the training shards.
        out_dir: Folder for ``task.json``, ``test.tar`` and ``train.tar``.
        examples: Training pictures, drawn at random from all styles; all if there are fewer.
        seed: Seed of the draw.

    Returns:
        The task, with ``train``.

    Raises:
        ValueError: If training pictures have no class of the task.
    """
    about, out_dir = Task.read(task), Path(out_dir)
    rule = about.neighbours
    if rule is None:
        raise ValueError(f"task {about.name} cannot be probed: {about.neighbours_reason}")
    table = json.loads(Path(index).read_text())
    shards = [Path(index).parent / shard["name"] for shard in table["shards"]]
    known = [
        (key, files["png"], rule.values[value])
        for shard in shards
        for key, files in read_tar(shard)
        if (value := str(json.loads(files["json"]).get(rule.field))) in rule.values
    ]
    rng = generator(seed, "linear probe", "training pictures")
    chosen = np.sort(rng.permutation(len(known))[:examples])
    drawn = [known[i] for i in chosen]
    samples = [(key, {"png": png, "cls": str(label).encode()}) for key, png, label in drawn]
    count = write_tar(out_dir / "train.tar", samples)
    with atomic_write(out_dir / "test.tar") as temporary:
        shutil.copyfile(Path(task) / "test.tar", temporary)
    train = TrainSplit(
        split="training pictures, in the training styles",
        examples=count,
        sha256=sha256(out_dir / "train.tar"),
    )
    probe = about.model_copy(update={"train": train})
    probe.write(out_dir / "task.json")
    return probe
