"""Zero-shot classification: from images and prompts to values, intervals and predictions.

Protocol of CLIP (Radford et al. 2021, section 3.1.4) as SLIP and the original report use it:
every prompt embedding is normalised, the prompts of a class (all synonyms x all templates) are
averaged, and the mean is normalised again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from open_clip import CLIP
from torch import Tensor
from torch.nn import functional as F

from clip_mamba.classifier import ClassifierCache, build_classifier
from clip_mamba.data.described import missing
from clip_mamba.data.shards import check_shard
from clip_mamba.data.tasks import Task
from clip_mamba.features import ImageEncoder, encode_images
from clip_mamba.metrics import METRICS
from clip_mamba.results import Result, Seed
from clip_mamba.statistics import METHOD, bootstrap_interval, mean_interval
from clip_mamba.subject import Subject, open_subject, unmeasured

__all__ = [
    "METRICS",
    "Scores",
    "build_classifier",
    "classify",
    "clusters",
    "encode_images",
    "evaluate",
    "run",
]

#: Rows of logits that are sorted at once.
_ROWS = 8192


@dataclass(frozen=True)
class Scores:
    """What a model did on a task: the value, its interval and each example's decision."""

    value: float
    interval: tuple[float, float]
    interval_method: str
    predictions: pd.DataFrame
    corrupt: int

    def result(self, task: Task, *, kind: str = "zeroshot", **fields: Any) -> Result:
        """Put the scores into the project's result schema.

        Args:
            task: The task that was scored.
            kind: ``zeroshot`` or ``linear-probe``.
            **fields: The fields of :class:`Result` that describe the model and the run;
                ``details`` go with those of the task.

        Returns:
            The result.
        """
        details = {
            "title": task.title,
            "classes": len(task.classes),
            "chance": task.chance,
            "majority": task.majority,
            "corrupt_images": self.corrupt + task.unreadable,
            "report_split": task.report_split,
            "note": task.note,
        }
        return Result(
            kind=kind,  # type: ignore[arg-type]
            task=task.name,
            split=task.split,
            examples=len(self.predictions),
            metric=task.metric,
            value=self.value,
            interval=self.interval,
            interval_method=self.interval_method,
            details=details | fields.pop("details", {}),
            data_sha256=task.sha256,
            **fields,
        )


def classify(
    logits: np.ndarray,
    labels: np.ndarray,
    metric: str = "top1",
    *,
    clusters: Sequence[str] | None = None,
    keys: Sequence[str] | None = None,
    seed: int = 0,
    corrupt: int = 0,
) -> Scores:
    """Score logits against labels, with a 95 % interval and the decision on each example.

    Args:
        logits: (n, n_classes) similarity of each image with each class.
        labels: (n,) class indices.
        metric: A name in ``METRICS``.
        clusters: (n,) what each example depicts, if several examples depict the same thing;
            the bootstrap then draws whole clusters.
        keys: (n,) name of each example, kept with its decision.
        seed: Seed of the bootstrap.
        corrupt: Number of images that could not be read and are therefore not in ``logits``.

    Returns:
        The scores.

    Raises:
        ValueError: If the metric is unknown.
    """
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; known: {', '.join(METRICS)}")
    chosen = METRICS[metric]
    scores = chosen.score(logits, labels)
    units = np.arange(len(labels)) if clusters is None else clusters
    if chosen.is_mean:
        interval = mean_interval(scores, units, seed=seed)
    else:
        interval = bootstrap_interval(
            lambda drawn: chosen.statistic(scores[drawn], labels[drawn]), units, seed=seed
        )
    named = "examples" if clusters is None else "depicted concepts"
    return Scores(
        value=chosen.statistic(scores, labels),
        interval=interval,
        interval_method=METHOD.format(resamples=1000, units=named),
        predictions=_predictions(logits, labels, scores, keys, clusters),
        corrupt=corrupt,
    )


def _predictions(
    logits: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    keys: Sequence[str] | None,
    clusters: Sequence[str] | None,
) -> pd.DataFrame:
    """Return one row per example: label, five best classes, margin of the best over the next."""
    parts = [_best(logits[i : i + _ROWS]) for i in range(0, len(labels), _ROWS)]
    best, ordered = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    margin = ordered[:, 0] - ordered[:, 1] if logits.shape[1] > 1 else np.zeros(len(labels))
    whole = np.int16 if logits.shape[1] <= np.iinfo(np.int16).max else np.int32
    columns: dict[str, Any] = {} if keys is None else {"key": list(keys)}
    columns |= {"label": labels.astype(whole)}
    columns |= {f"top{i + 1}": best[:, i].astype(whole) for i in range(best.shape[1])}
    columns |= {"margin": margin.astype(np.float32), "score": scores.astype(np.float32)}
    if clusters is not None:
        columns["unit"] = pd.Categorical(clusters)
    return pd.DataFrame(columns)


def _best(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the five best classes of each row, the first of equals first, and their logits."""
    best = np.argsort(-logits, axis=1, kind="stable")[:, :5]
    return best, np.take_along_axis(logits, best, axis=1)


def evaluate(
    model: CLIP,
    preprocess: Callable[[Any], Tensor],
    tokenizer: Callable[[list[str]], Tensor],
    task: Task,
    folder: str | Path,
    *,
    encoder: ImageEncoder | None = None,
    classifiers: ClassifierCache | None = None,
) -> Scores:
    """Score a CLIP model zero-shot on a prepared task.

    Args:
        model: A CLIP model in evaluation mode.
        preprocess: Turns a PIL image into the model's input.
        tokenizer: Turns strings into token ids.
        task: The task.
        folder: Where its ``test.tar`` lies.
        encoder: Of this model, to be shared between tasks; made here if there is none.
        classifiers: Likewise.

    Returns:
        The scores.
    """
    device = next(model.parameters()).device
    encoder = encoder or ImageEncoder(unit_features(model), preprocess, device=device)
    classifiers = classifiers or ClassifierCache(model, tokenizer)
    tar = Path(folder) / "test.tar"
    check_shard(tar, task.sha256)
    examples = encoder.read(tar)
    labels = examples.labels(len(task.classes))
    classifier = classifiers(task.classes, task.templates).cpu()
    return classify(
        (examples.features @ classifier).numpy(),
        labels,
        task.metric,
        clusters=clusters(examples.metadata()),
        keys=examples.keys,
        corrupt=len(examples.corrupt),
    )


def unit_features(model: CLIP) -> Callable[[Tensor], Tensor]:
    """Return the function from pictures to features as zero-shot classification uses them.

    Args:
        model: A CLIP model.

    Returns:
        (n, 3, height, width) to (n, embed) with unit rows.
    """
    return lambda pictures: F.normalize(model.encode_image(pictures), dim=-1)


def clusters(metadata: Sequence[Mapping[str, Any]]) -> list[str] | None:
    """Return what each example depicts, if several examples depict the same thing.

    Args:
        metadata: What ``<key>.json`` says of each example: ``concept``, or ``cluster`` for
            other things that examples share (the video that frames are from).

    Returns:
        (n,) concept of each emoji, since drawings of one concept in several styles do not err
        independently; ``None`` for independent examples such as handwritten digits.
    """
    named = [facts.get("cluster", facts.get("concept")) for facts in metadata]
    independent = {facts.get("style") for facts in metadata} <= {"mnist"}
    if any(name is None for name in named) or (independent and "cluster" not in metadata[0]):
        return None
    return [str(name) for name in named]


def run(
    *,
    model_name: str,
    seed: Seed,
    scale: str,
    weights: str | Path,
    tasks: Sequence[str | Path],
    results: Sequence[str | Path],
    predictions: Sequence[str | Path],
    threads: int = 1,
    device: str = "auto",
    cache: str | Path | None = None,
    code: str = "",
    batch_size: int = 128,
) -> None:
    """Score one model on several tasks and write a result and the decisions for each.

    Args:
        model_name: As in ``open_clip.list_models()``.
        seed: The seed that the weights were pretrained with, or where they are from.
        scale: Written to the results.
        weights: Safetensors file.
        tasks: Folders with ``task.json`` and ``test.tar``.
        results: The JSON file to write for each task.
        predictions: The parquet file to write for each task.
        threads: Threads that torch may use, and that decode pictures.
        device: Where to compute; ``auto`` for the GPU if there is one.
        cache: Folder in which text classifiers are kept; ``None`` for none.
        code: Digest of the code that the classifiers depend on.
        batch_size: Pictures encoded at once.
    """
    subject = open_subject(
        model_name,
        seed,
        scale,
        weights,
        threads=threads,
        device=device,
        cache=cache,
        code=code,
        batch_size=batch_size,
    )
    encoder = subject.encoder(unit_features(subject.model))
    subject.measure_all(
        lambda folder: _measure(subject, encoder, folder),
        tasks,
        results,
        predictions,
        lambda found: f"{found.value:.4f} {found.interval}",
    )


def _measure(subject: Subject, encoder: ImageEncoder, folder: Path) -> tuple[Result, pd.DataFrame]:
    """Return the result and the decisions on one task, or why there are none."""
    started = time.monotonic()
    if (absent := missing(folder)) is not None:
        found = unmeasured("zeroshot", absent, **subject.fields(started))
        return found, pd.DataFrame({"label": np.empty(0, np.int16)})
    task = Task.read(folder)
    with torch.inference_mode():
        scores = evaluate(
            subject.model,
            subject.preprocess,
            subject.tokenizer,
            task,
            folder,
            encoder=encoder,
            classifiers=subject.classifiers,
        )
    return scores.result(task, **subject.fields(started)), scores.predictions
