"""Linear probing: logistic regression on the frozen features of an image tower.

As in CLIP's appendix A.3 (Radford et al. 2021): the features before the projection to the shared
space, L-BFGS with at most 1000 iterations, and the strength of the L2 penalty chosen on a
validation split by a search over a logarithmic grid of 8 steps a decade between 1e-6 and 1e6:
seven points six decades wide first, then ever closer around the best. The final classifier is
fitted to training and validation examples together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.optimize import minimize
from torch import Tensor, nn
from torch.nn import functional as F

from clip_mamba.data.described import missing
from clip_mamba.data.shards import check_shard
from clip_mamba.data.tasks import Task, held_out
from clip_mamba.features import ImageEncoder
from clip_mamba.metrics import METRICS
from clip_mamba.results import Result, Seed
from clip_mamba.subject import Subject, open_subject, unmeasured
from clip_mamba.zeroshot import classify, clusters

#: Exponents of C of the first round, and the finest step: 8 a decade.
FIRST_ROUND, FINEST = (-6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0), 1 / 8


def tower_features(model: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return the function from pictures to features before the projection.

    Args:
        model: A CLIP model whose image tower is timm's or open_clip's.

    Returns:
        (n, 3, height, width) to (n, width).
    """
    visual: Any = model.visual
    if hasattr(visual, "trunk"):
        # timm's pooling may stand in the trunk or in open_clip's head.
        kept = [m for name, m in visual.head.named_children() if name not in {"proj", "mlp"}]
        return lambda pictures: nn.Sequential(*kept)(visual.trunk(pictures))
    projection = getattr(visual, "proj", None)

    def encode(pictures: Tensor) -> Tensor:
        visual.proj = None
        try:
            return visual(pictures)
        finally:
            visual.proj = projection

    return encode if isinstance(projection, Tensor) else visual


@dataclass(frozen=True)
class Probe:
    """A multinomial logistic regression."""

    #: (width + 1, n_classes) float64; the last row is the intercept.
    weights: np.ndarray
    #: Whether L-BFGS met its tolerance.
    converged: bool

    def logits(self, features: Tensor) -> np.ndarray:
        """Return the logits of examples.

        Args:
            features: (n, width).

        Returns:
            (n, n_classes).
        """
        return features.double().cpu().numpy() @ self.weights[:-1] + self.weights[-1]


def fit(
    features: Tensor,
    labels: np.ndarray,
    classes: int,
    c: float,
    *,
    start: Probe | None = None,
    iterations: int = 1000,
    tolerance: float = 1e-4,
) -> Probe:
    """Fit a logistic regression: scikit-learn's objective, with gradients on the features' device.

    Minimises C * (sum of cross-entropies) + |W|^2 / 2, the intercept not penalised.

    Args:
        features: (n, width); float64 for scikit-learn's optimum to the last digits.
        labels: (n,) class indices.
        classes: Number of classes.
        c: Inverse strength of the penalty.
        start: Where to begin, such as the fit for a neighbouring C.
        iterations: At most so many.
        tolerance: On the largest entry of the gradient of the mean objective.

    Returns:
        The fit.
    """
    width, device = features.shape[1], features.device
    target = torch.from_numpy(labels).to(device)
    penalty = 1 / (c * len(labels))

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = torch.from_numpy(flat.reshape(width + 1, classes)).to(features)
        logits = features @ weights[:-1] + weights[-1]
        loss = F.cross_entropy(logits, target) + penalty / 2 * weights[:-1].square().sum()
        error = logits.softmax(1)
        error[torch.arange(len(target), device=device), target] -= 1
        error /= len(target)
        gradient = torch.cat([features.T @ error + penalty * weights[:-1], error.sum(0)[None]])
        return float(loss), gradient.double().cpu().numpy().ravel()

    begin = np.zeros((width + 1) * classes) if start is None else start.weights.ravel()
    found = minimize(
        objective,
        begin,
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": iterations, "gtol": tolerance, "ftol": 64 * np.finfo(float).eps},
    )
    return Probe(found.x.reshape(width + 1, classes), bool(found.success))


def choose_c(score: Callable[[float], float]) -> tuple[float, dict[float, float]]:
    """Search for the best C on a logarithmic grid, coarse to fine.

    Args:
        score: Validation score of a C; higher is better.

    Returns:
        The best C (the smallest of equals) and the score of each that was tried.
    """
    tried: dict[float, float] = {}
    exponents: tuple[float, ...] = FIRST_ROUND
    step = FIRST_ROUND[1] - FIRST_ROUND[0]
    while True:
        for exponent in exponents:
            if exponent not in tried and FIRST_ROUND[0] <= exponent <= FIRST_ROUND[-1]:
                tried[exponent] = score(10.0**exponent)
        best = max(sorted(tried), key=lambda e: tried[e])
        if step <= FINEST:
            return 10.0**best, {10.0**e: tried[e] for e in sorted(tried)}
        step /= 2
        exponents = (best - step, best + step)


def train(
    features: Tensor,
    labels: np.ndarray,
    classes: int,
    metric: str,
    *,
    share: float = 0.2,
    seed: int = 0,
) -> tuple[Probe, dict[str, Any]]:
    """Choose C on a validation split and fit to everything.

    Args:
        features: (n, width) of the training examples.
        labels: (n,) class indices.
        classes: Number of classes.
        metric: What the choice goes by, a name in ``METRICS``.
        share: How much of each class to choose C on.
        seed: Seed of the split.

    Returns:
        The probe, and how it came about: C and the validation score of each C.

    Raises:
        ValueError: If there is nothing to validate on.
    """
    held = held_out(labels.tolist(), share, seed)
    if not held.any():
        raise ValueError("linear probing needs a class with two training pictures or more")
    rest = torch.from_numpy(~held).to(features.device)
    probe: Probe | None = None

    def score(c: float) -> float:
        nonlocal probe
        probe = fit(features[rest], labels[~held], classes, c, start=probe)
        return METRICS[metric](probe.logits(features[~rest]), labels[held])

    c, tried = choose_c(score)
    probe = fit(features, labels, classes, c)
    return probe, {
        "C": c,
        "validation": {f"{c:.3g}": value for c, value in tried.items()},
        "train_examples": len(labels),
        "validation_examples": int(held.sum()),
        "width": features.shape[1],
        "converged": probe.converged,
    }


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
) -> None:
    """Probe one model on several tasks and write a result and the decisions for each.

    Args:
        model_name: As in ``open_clip.list_models()``.
        seed: The seed that the weights were pretrained with, or where they are from.
        scale: Written to the results.
        weights: Safetensors file.
        tasks: Folders with ``task.json``, ``test.tar`` and ``train.tar``.
        results: The JSON file to write for each task.
        predictions: The parquet file to write for each task.
        threads: Threads that torch may use, and that decode pictures.
        device: Where to compute; ``auto`` for the GPU if there is one.
    """
    subject = open_subject(model_name, seed, scale, weights, threads=threads, device=device)
    encoder = subject.encoder(tower_features(subject.model))
    subject.measure_all(
        lambda folder: _measure(subject, encoder, folder),
        tasks,
        results,
        predictions,
        lambda found: f"{found.value:.4f} {found.interval}, C = {found.details['C']:.3g}",
    )


def _measure(subject: Subject, encoder: ImageEncoder, folder: Path) -> tuple[Result, pd.DataFrame]:
    started = time.monotonic()
    absent = missing(folder)
    task = Task.read(folder)
    if absent is None and task.train is None:
        absent = task.model_dump() | {"missing": "the task has no training pictures"}
    if absent is not None or task.train is None:
        found = unmeasured("linear-probe", absent or {}, **subject.fields(started))
        return found, pd.DataFrame({"label": np.empty(0, np.int16)})
    check_shard(folder / "train.tar", task.train.sha256)
    check_shard(folder / "test.tar", task.sha256)
    training, test = encoder.read(folder / "train.tar"), encoder.read(folder / "test.tar")
    classes = len(task.classes)
    precise = torch.float64 if subject.device.type == "cpu" else torch.float32
    probe, details = train(
        training.features.to(subject.device, precise),
        training.labels(classes),
        classes,
        task.metric,
        share=task.train.held_out,
    )
    scores = classify(
        probe.logits(test.features),
        test.labels(classes),
        task.metric,
        clusters=clusters(test.metadata()),
        keys=test.keys,
        corrupt=len(test.corrupt),
    )
    details["train_split"] = task.train.split
    result = scores.result(task, kind="linear-probe", details=details, **subject.fields(started))
    return result, scores.predictions
