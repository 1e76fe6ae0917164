"""Zero-shot classification: prompt ensembles, metrics, per-example predictions.

Protocol of CLIP (Radford et al. 2021, section 3.1.4) as SLIP and the original report use it:
every prompt embedding is normalised, the prompts of a class (all synonyms x all templates) are
averaged, and the mean is normalised again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from open_clip import CLIP
from torch import Tensor
from torch.nn import functional as F

from clip_mamba.data.tasks import Images, Task, read_images
from clip_mamba.files import atomic_write, sha256
from clip_mamba.parameters import count
from clip_mamba.results import Result, Seed
from clip_mamba.statistics import METHOD, bootstrap_interval, mean_interval


@torch.inference_mode()
def build_classifier(
    model: CLIP,
    tokenizer: Callable[[list[str]], Tensor],
    classes: Sequence[Sequence[str]],
    templates: Sequence[str],
    batch_size: int = 1024,
) -> Tensor:
    """Return the zero-shot classifier's weights.

    Args:
        model: A CLIP model (``encode_text``).
        tokenizer: Turns strings into token ids.
        classes: The synonyms of each class; prompts of all synonyms are averaged.
        templates: Sentences with one ``{}`` for the class name.
        batch_size: Prompts encoded at once.

    Returns:
        (embed, n_classes) with unit columns.

    Raises:
        ValueError: If there is no class or template, or a class has no name.
    """
    empty = [i for i, names in enumerate(classes) if not names]
    if not classes or not templates or empty:
        raise ValueError(f"a classifier needs classes and templates; unnamed classes: {empty}")
    device = next(model.parameters()).device
    prompts = [t.format(name) for names in classes for name in names for t in templates]
    owner = [i for i, names in enumerate(classes) for _ in range(len(names) * len(templates))]
    parts = [
        F.normalize(model.encode_text(tokenizer(prompts[i : i + batch_size]).to(device)), dim=-1)
        for i in range(0, len(prompts), batch_size)
    ]
    embeddings = torch.cat(parts).float()  # (n_prompts, embed)
    sums = torch.zeros(len(classes), embeddings.shape[1], device=device)
    sums.index_add_(0, torch.tensor(owner, device=device), embeddings)
    # Dividing the sum by the number of prompts would only rescale what is normalised here.
    return F.normalize(sums, dim=-1).T


@torch.inference_mode()
def encode_images(
    model: CLIP,
    images: Iterable[Any],
    preprocess: Callable[[Any], Tensor],
    batch_size: int = 512,
) -> Tensor:
    """Return normalised image features.

    Args:
        model: A CLIP model (``encode_image``).
        images: PIL images.
        preprocess: Turns one image into a (3, height, width) tensor.
        batch_size: Images encoded at once.

    Returns:
        (n, embed) float32 with unit rows.
    """
    device = next(model.parameters()).device
    features = []
    batch: list[Tensor] = []

    def flush() -> None:
        encoded = model.encode_image(torch.stack(batch).to(device))
        features.append(F.normalize(encoded, dim=-1).float())
        batch.clear()

    for image in images:
        batch.append(preprocess(image))
        if len(batch) == batch_size:
            flush()
    if batch:
        flush()
    return torch.cat(features)


def top1(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of examples whose highest logit is that of their class.

    Args:
        logits: (n, n_classes).
        labels: (n,) class indices.

    Returns:
        Accuracy in [0, 1].
    """
    return float(np.mean(logits.argmax(1) == labels))


def mean_per_class(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean over the classes present of the accuracy within the class.

    Args:
        logits: (n, n_classes).
        labels: (n,) class indices.

    Returns:
        Accuracy in [0, 1].
    """
    correct = np.bincount(labels, weights=logits.argmax(1) == labels)
    counts = np.bincount(labels)
    return float(np.mean(correct[counts > 0] / counts[counts > 0]))


def mean_top1_top5(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean of top-1 and top-5 accuracy (Kinetics-700's metric in CLIP's paper).

    Args:
        logits: (n, n_classes).
        labels: (n,) class indices.

    Returns:
        Accuracy in [0, 1].
    """
    own = np.take_along_axis(logits, labels[:, None], axis=1)
    rank = (logits > own).sum(1)
    return float((np.mean(rank < 1) + np.mean(rank < 5)) / 2)


def roc_auc(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the area under the ROC curve of class 1 against class 0 (Hateful Memes).

    Args:
        logits: (n, 2).
        labels: (n,) 0 or 1.

    Returns:
        Area in [0, 1]; NaN when only one class is present.
    """
    from sklearn.metrics import roc_auc_score

    if len(np.unique(labels)) < 2:
        return float("nan")
    return float(roc_auc_score(labels, logits[:, 1] - logits[:, 0]))


#: Metric by name, as task tables spell it: (logits (n, n_classes), labels (n,)) -> [0, 1].
METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "top1": top1,
    "mean_per_class": mean_per_class,
    "mean_top1_top5": mean_top1_top5,
    "roc_auc": roc_auc,
}


@dataclass(frozen=True)
class Scores:
    """What a model did on a task: the value, its interval and each example's decision."""

    value: float
    interval: tuple[float, float]
    interval_method: str
    predictions: pd.DataFrame
    corrupt: int

    def result(self, task: Task, **fields: Any) -> Result:
        """Put the scores into the project's result schema.

        Args:
            task: The task that was scored.
            **fields: The fields of :class:`Result` that describe the model and the run.

        Returns:
            The result.
        """
        return Result(
            kind="zeroshot",
            task=task.name,
            split=task.split,
            examples=len(self.predictions),
            metric=task.metric,
            value=self.value,
            interval=self.interval,
            interval_method=self.interval_method,
            details={
                "title": task.title,
                "classes": len(task.classes),
                "chance": task.chance,
                "majority": task.majority,
                "corrupt_images": self.corrupt,
            },
            data_sha256=task.sha256,
            **fields,
        )


def classify(
    logits: np.ndarray,
    labels: np.ndarray,
    metric: str = "top1",
    *,
    clusters: Sequence[str] | None = None,
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
        seed: Seed of the bootstrap.
        corrupt: Number of images that could not be read and are therefore not in ``logits``.

    Returns:
        The scores.

    Raises:
        ValueError: If the metric is unknown.
    """
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; known: {', '.join(METRICS)}")
    units = list(range(len(labels))) if clusters is None else clusters
    compute = METRICS[metric]
    if metric == "top1":
        interval = mean_interval(logits.argmax(1) == labels, units, seed=seed)
    else:
        interval = bootstrap_interval(
            lambda chosen: compute(logits[chosen], labels[chosen]), units, seed=seed
        )
    named = "examples" if clusters is None else "depicted concepts"
    return Scores(
        value=compute(logits, labels),
        interval=interval,
        interval_method=METHOD.format(resamples=1000, units=named),
        predictions=_predictions(logits, labels),
        corrupt=corrupt,
    )


def _predictions(logits: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """Return one row per example: label, five best classes, margin of the best over the next."""
    best = np.argsort(-logits, axis=1, kind="stable")[:, :5]
    ordered = np.take_along_axis(logits, best, axis=1)
    margin = ordered[:, 0] - ordered[:, 1] if logits.shape[1] > 1 else np.zeros(len(labels))
    columns = {f"top{i + 1}": best[:, i].astype(np.int32) for i in range(best.shape[1])}
    return pd.DataFrame({"label": labels.astype(np.int32), **columns, "margin": margin})


def evaluate(
    model: CLIP,
    preprocess: Callable[[Any], Tensor],
    tokenizer: Callable[[list[str]], Tensor],
    task: Task,
    folder: str | Path,
) -> Scores:
    """Score a CLIP model zero-shot on a prepared task.

    Args:
        model: A CLIP model in evaluation mode.
        preprocess: Turns a PIL image into the model's input.
        tokenizer: Turns strings into token ids.
        task: The task.
        folder: Where its ``test.tar`` lies.

    Returns:
        The scores.
    """
    examples = read_images(Path(folder) / "test.tar", expected_sha256=task.sha256)
    classifier = build_classifier(model, tokenizer, task.classes, task.templates)
    features = encode_images(model, examples.images, preprocess)
    logits = (features @ classifier).cpu().numpy()
    return classify(
        logits,
        examples.labels,
        task.metric,
        clusters=clusters(examples),
        corrupt=len(examples.corrupt),
    )


def clusters(examples: Images) -> list[str] | None:
    """Return what each example depicts, if several examples depict the same thing.

    Args:
        examples: The pictures of a task.

    Returns:
        (n,) concept of each emoji, since drawings of one concept in several styles do not err
        independently; ``None`` for independent examples such as handwritten digits.
    """
    concepts = [facts["concept"] for facts in examples.metadata]
    independent = {facts.get("style") for facts in examples.metadata} <= {"mnist"}
    return None if independent else concepts


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
) -> None:
    """Score one model on several tasks and write a result and the decisions for each.

    Args:
        model_name: As in ``open_clip.list_models()``.
        seed: The seed that the weights were pretrained with.
        scale: Written to the results.
        weights: Safetensors file.
        tasks: Folders with ``task.json`` and ``test.tar``.
        results: The JSON file to write for each task.
        predictions: The parquet file to write for each task.
        threads: Threads that torch may use.
    """
    from clip_mamba import create_model

    torch.set_num_threads(threads)
    model, preprocess, tokenizer = create_model(model_name, weights=weights)
    image_parameters, text_parameters = count(model)
    digest = sha256(weights)
    for folder, result, table in zip(tasks, results, predictions, strict=True):
        started = time.monotonic()
        task = Task.read(folder)
        scores = evaluate(model, preprocess, tokenizer, task, folder)
        with atomic_write(table) as temporary:
            scores.predictions.to_parquet(temporary, index=False)
        scores.result(
            task,
            scale=scale,
            model=model_name,
            seed=seed,
            image_parameters=image_parameters,
            text_parameters=text_parameters,
            weights_sha256=digest,
            seconds=time.monotonic() - started,
        ).write(result)
        print(f"{model_name}-{seed} {task.name}: {scores.value:.4f} {scores.interval}")
