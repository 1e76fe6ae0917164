"""Nearest neighbour in pixel space: what needs no learning."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.neighbors import KNeighborsClassifier

from clip_mamba.data.described import missing
from clip_mamba.data.shards import TrainingSet, read_training
from clip_mamba.data.tasks import Task, read_images
from clip_mamba.subject import unmeasured
from clip_mamba.zeroshot import Scores, classify, clusters

#: The baseline's name in results and tables.
NAME = "pixel-1nn"


def thumbnails(images: Sequence[Image.Image], size: int) -> np.ndarray:
    """Resize pictures and flatten them.

    Args:
        images: PIL images of any size.
        size: Side in pixels.

    Returns:
        (n, size * size * 3) float32 in [0, 1].
    """
    small = [
        np.asarray(i.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)) for i in images
    ]
    return np.stack(small).reshape(len(small), -1).astype(np.float32) / 255


def pixel_neighbours(train: np.ndarray, train_labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Classify each picture as its nearest training picture (Euclidean, in pixels).

    Args:
        train: (n, d) thumbnails.
        train_labels: (n,) class indices.
        test: (m, d) thumbnails.

    Returns:
        (m,) class indices.
    """
    model = KNeighborsClassifier(n_neighbors=1, algorithm="brute").fit(train, train_labels)
    return model.predict(test)


def evaluate(corpus: TrainingSet, task: Task, folder: str | Path, size: int) -> Scores:
    """Score the nearest training picture's class on a task.

    Args:
        corpus: The training pictures.
        task: The task, which says how a training picture gets a class.
        folder: Where its ``test.tar`` lies.
        size: Side of the thumbnails in pixels.

    Returns:
        The scores.

    Raises:
        ValueError: If no training picture shows a class of the task.
    """
    if task.neighbours is None:
        raise ValueError(f"task {task.name} has no neighbours: {task.neighbours_reason}")
    field, values = task.neighbours.field, task.neighbours.values
    labels = np.array([values.get(sample[field], -1) for sample in corpus.metadata])
    known = labels >= 0
    pictures = [Image.fromarray(image) for image in corpus.images[known]]
    examples = read_images(Path(folder) / "test.tar", expected_sha256=task.sha256)
    found = pixel_neighbours(
        thumbnails(pictures, size), labels[known], thumbnails(examples.images, size)
    )
    decisions = np.eye(len(task.classes), dtype=np.float32)[found]
    return classify(
        decisions,
        examples.labels,
        task.metric,
        clusters=clusters(examples.metadata),
        keys=examples.keys,
        corrupt=len(examples.corrupt),
    )


def run(
    *,
    scale: str,
    index: str | Path,
    tasks: Sequence[str | Path],
    results: Sequence[str | Path],
    size: int,
) -> None:
    """Score the pixel baseline on several tasks and write a result for each.

    Args:
        scale: Written to the results.
        index: ``index.json`` of the training shards.
        tasks: Folders with ``task.json`` and ``test.tar``.
        results: The JSON file to write for each task.
        size: Side of the thumbnails in pixels.
    """
    corpus = read_training(index)
    for folder, path in zip(tasks, results, strict=True):
        started = time.monotonic()
        shared: dict[str, Any] = {"scale": scale, "model": NAME, "seed": 0}
        shared |= {"image_parameters": 0, "text_parameters": 0}
        if (absent := missing(folder)) is not None:
            unmeasured("zeroshot", absent, seconds=0.0, **shared).write(path)
            continue
        task = Task.read(folder)
        if task.neighbours is None:
            facts = task.model_dump() | {"missing": task.neighbours_reason}
            unmeasured("zeroshot", facts, seconds=0.0, **shared).write(path)
            continue
        scores = evaluate(corpus, task, folder, size)
        scores.result(task, seconds=time.monotonic() - started, **shared).write(path)
        print(f"{NAME} {task.name}: {scores.value:.4f} {scores.interval}")
