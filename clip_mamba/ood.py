"""Out-of-distribution evaluation by the protocol of model-vs-human, for CLIP models.

A model decides zero-shot among the benchmark's 16 categories, in one of two ways: directly over
their names (the demo's default), or over the classes of ImageNet, each category's probability
being the mean of its classes' (the benchmark's own way, :data:`IMAGENET_CLASSES`). Both are one
code path with a matrix from classes to categories.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from clip_mamba import create_model
from clip_mamba import ood_metrics as metrics
from clip_mamba.corruptions import (
    CONDITIONS,
    EXCLUDED_LEVELS,
    LEVELS,
    corrupt,
    is_control,
    normalise_level,
)
from clip_mamba.files import sha256
from clip_mamba.parameters import count
from clip_mamba.results import Result
from clip_mamba.stimuli import CATEGORIES, Stimulus, read_stimuli
from clip_mamba.zeroshot import build_classifier, encode_images

__all__ = [
    "CATEGORIES",
    "CONDITIONS",
    "EXCLUDED_LEVELS",
    "IMAGENET_CLASSES",
    "LEVELS",
    "Classifier",
    "classifier",
    "corrupt",
    "decide",
    "demo_excluded",
    "evaluate",
    "imagenet_matrix",
    "metrics",
    "summarise",
]

#: Prompts used where the caller gives none.
TEMPLATES = ("a picture of a {}.", "a drawing of a {}.", "an icon of a {}.")

#: Indices of ImageNet-1k's classes that count for each category (Geirhos et al. 2018, supplement;
#: ends of ranges included).
IMAGENET_CLASSES = {
    "airplane": "404",
    "bear": "294-297",
    "bicycle": "444 671",
    "bird": "8 10-16 18-20 22-24 80-83 87-96 98-100 127-133 135-145",
    "boat": "472 554 625 814 914",
    "bottle": "440 720 737 898-899 901 907",
    "car": "436 511 817",
    "cat": "281-286",
    "chair": "423 559 765 857",
    "clock": "409 530 892",
    "dog": "152-191 193-203 205-226 228-241 243-250 252-257 259 261-263 265-268",
    "elephant": "385-386",
    "keyboard": "508 878",
    "knife": "499",
    "oven": "766",
    "truck": "555 569 656 675 717 734 864 867",
}


def imagenet_indices(category: str) -> list[int]:
    """Return the ImageNet-1k classes of a category.

    Args:
        category: One of ``CATEGORIES``.

    Returns:
        Class indices in ascending order.
    """
    indices: list[int] = []
    for part in IMAGENET_CLASSES[category].split():
        first, _, last = part.partition("-")
        indices.extend(range(int(first), int(last or first) + 1))
    return indices


def imagenet_matrix() -> Tensor:
    """Return the matrix that takes probabilities of 1,000 classes to means per category.

    Returns:
        (1000, 16).
    """
    matrix = torch.zeros(1000, len(CATEGORIES))
    for column, category in enumerate(CATEGORIES):
        indices = imagenet_indices(category)
        matrix[indices, column] = 1 / len(indices)
    return matrix


@dataclass(frozen=True)
class Classifier:
    """Prompt embeddings and what their classes say about the 16 categories."""

    weights: Tensor  # (embed, n_classes), unit columns
    matrix: Tensor  # (n_classes, 16)
    scale: float


def classifier(
    model: nn.Module,
    tokenizer: Callable[[list[str]], Tensor],
    names: Sequence[Sequence[str]] | None = None,
    templates: Sequence[str] = TEMPLATES,
    matrix: Tensor | None = None,
) -> Classifier:
    """Build the zero-shot classifier.

    Args:
        model: A CLIP model.
        tokenizer: Turns strings into token ids.
        names: Synonyms of each class; the 16 categories' names if left out.
        templates: Sentences with ``{}`` for the name.
        matrix: (classes, 16) from probabilities of classes to scores of categories, see
            :func:`imagenet_matrix`; the identity if left out.

    Returns:
        The classifier.

    Raises:
        ValueError: If names and matrix do not fit together.
    """
    classes = [[name] for name in CATEGORIES] if names is None else [list(n) for n in names]
    to_category = torch.eye(len(CATEGORIES)) if matrix is None else matrix
    if to_category.shape != (len(classes), len(CATEGORIES)):
        raise ValueError(
            f"{len(classes)} classes and a matrix of {tuple(to_category.shape)}: it must have a "
            f"row per class and a column for each of the {len(CATEGORIES)} categories"
        )
    weights = build_classifier(model, tokenizer, classes, list(templates))
    learnt = getattr(model, "logit_scale", None)
    scale = float(learnt.detach().exp()) if isinstance(learnt, Tensor) else 100.0
    return Classifier(weights, to_category.to(weights.device), scale)


def decide(features: Tensor, chooser: Classifier) -> np.ndarray:
    """Decide for the category whose classes have the highest (mean) probability.

    Args:
        features: (n, embed), unit rows.
        chooser: The classifier.

    Returns:
        (n,) names of categories.
    """
    logits = chooser.scale * (features @ chooser.weights)  # (n, n_classes)
    scores = logits.double().softmax(dim=1) @ chooser.matrix.double()  # (n, 16)
    return np.asarray(CATEGORIES)[scores.argmax(dim=1).cpu().numpy()]


def evaluate(
    model: nn.Module,
    preprocess: Callable[[Any], Tensor],
    tokenizer: Callable[[list[str]], Tensor],
    stimuli_tars: Mapping[str, str | Path],
    *,
    subject: str,
    names: Sequence[Sequence[str]] | None = None,
    templates: Sequence[str] = TEMPLATES,
    matrix: Tensor | None = None,
    batch_size: int = 512,
    progress: bool = True,
) -> dict[str, pd.DataFrame]:
    """Let a model decide on all stimuli of several sets.

    Stimuli that occur in several sets (undistorted controls) are encoded once.

    Args:
        model: A CLIP model in evaluation mode.
        preprocess: Turns a PIL image into the model's input.
        tokenizer: Turns strings into token ids.
        stimuli_tars: Condition to set.
        subject: The model's name in the trials.
        names: See :func:`classifier`.
        templates: See :func:`classifier`.
        matrix: See :func:`classifier`.
        batch_size: Images encoded at once.
        progress: Whether to show a bar.

    Returns:
        The trials by condition, in the benchmark's columns.
    """
    chooser = classifier(model, tokenizer, names, templates, matrix)
    known: dict[bytes, np.ndarray] = {}
    trials = {}
    bar = tqdm(stimuli_tars.items(), desc=f"ood {subject}", unit="set", disable=not progress)
    for condition, path in bar:
        stimuli = read_stimuli(path)
        digests = [hashlib.sha256(stimulus.png).digest() for stimulus in stimuli]
        fresh = {d: s for d, s in zip(digests, stimuli, strict=True) if d not in known}
        if fresh:
            pictures: Iterable[Any] = (stimulus.image for stimulus in fresh.values())
            with torch.inference_mode():
                features = encode_images(model, pictures, preprocess, batch_size)
                known.update(zip(fresh, decide(features, chooser), strict=True))
        answers = [str(known[digest]) for digest in digests]
        trials[condition] = _trials(stimuli, answers, subject)
    return trials


def _trials(stimuli: Sequence[Stimulus], answers: Sequence[str], subject: str) -> pd.DataFrame:
    """Return a table in the benchmark's columns."""
    table = pd.DataFrame({
        "subj": subject,
        "session": [stimulus.session for stimulus in stimuli],
        "trial": np.arange(1, len(stimuli) + 1),
        "rt": np.nan,
        "object_response": list(answers),
        "category": [stimulus.category for stimulus in stimuli],
        "condition": [stimulus.level for stimulus in stimuli],
        "imagename": [stimulus.imagename for stimulus in stimuli],
    })
    return table[list(metrics.COLUMNS)]


def demo_excluded(condition: str, levels: Iterable[str]) -> tuple[str, ...]:
    """Return the levels that headline numbers leave out at demo scale: the controls.

    No person saw these stimuli, so none is left out for being hopeless.

    Args:
        condition: The set.
        levels: Its levels.

    Returns:
        The undistorted ones.
    """
    return tuple(level for level in levels if is_control(condition, level))


def summarise(
    trials: pd.DataFrame,
    condition: str,
    *,
    scale: str,
    model: str,
    seed: int,
    image_parameters: int,
    text_parameters: int,
    stimuli_tar: str | Path,
    weights_sha256: str | None = None,
    excluded: Sequence[str] | None = None,
    decision: str = "16 category names",
    split: str = "held-out objects",
    device: str = "cpu",
    started: float | None = None,
) -> Result:
    """Turn a model's trials on a set into a result.

    Args:
        trials: From :func:`evaluate`.
        condition: The set.
        scale: ``demo`` or ``paper``.
        model: The model's name.
        seed: The training seed.
        image_parameters: Size of the image tower.
        text_parameters: Size of the text tower.
        stimuli_tar: The set that was shown.
        weights_sha256: Digest of the weights.
        excluded: Levels that do not enter the value; the benchmark's at paper scale and the
            controls at demo scale if left out.
        decision: How the model decided, in words.
        split: What the stimuli were made from, in words.
        device: Where the model ran.
        started: ``time.monotonic()`` of the beginning.

    Returns:
        A result of kind ``ood``: the mean accuracy over the included levels, with details.
    """
    levels = list(dict.fromkeys(trials["condition"]))
    if excluded is None:
        published = EXCLUDED_LEVELS.get(condition, ())
        excluded = published if scale == "paper" else demo_excluded(condition, levels)
    left_out = {normalise_level(condition, level) for level in excluded}
    kept = trials[~trials["condition"].map(lambda level: level in left_out)]
    details: dict[str, Any] = {
        "levels": [_level(trials, level) for level in levels],
        "excluded_levels": [level for level in levels if level in left_out],
        "categories": _categories(trials),
        "decision": decision,
        "chance": 1 / len(CATEGORIES),
    }
    if condition == "cue-conflict":
        details["cue_conflict"] = _cue_conflict(kept)
    return Result(
        kind="ood",
        scale=scale,
        model=model,
        image_parameters=image_parameters,
        text_parameters=text_parameters,
        seed=seed,
        task=condition,
        split=split,
        examples=len(kept),
        metric="accuracy",
        value=metrics.accuracy(kept) if len(kept) else None,
        reason=None if len(kept) else "no level is left that is not excluded",
        interval=metrics.accuracy_interval(kept) if len(kept) else None,
        interval_method="percentile bootstrap, 1000 resamples of base objects",
        details=details,
        weights_sha256=weights_sha256,
        data_sha256=sha256(stimuli_tar),
        device=device,
        seconds=0.0 if started is None else time.monotonic() - started,
    )


def _level(trials: pd.DataFrame, level: str) -> dict[str, Any]:
    """Return accuracy and interval at one level."""
    own = trials[trials["condition"] == level]
    return {
        "level": level,
        "examples": len(own),
        "accuracy": metrics.accuracy(own),
        "interval": list(metrics.accuracy_interval(own)),
    }


def _categories(trials: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Return trials and distinct objects of each category, so that thin ones can be named."""
    objects = trials["imagename"].map(metrics.base_image)
    grouped = objects.groupby(trials["category"])
    return {
        str(name): {"examples": len(own), "objects": int(own.nunique())} for name, own in grouped
    }


def _cue_conflict(trials: pd.DataFrame) -> dict[str, Any]:
    """Return shape and texture decisions and the shape bias, overall and per category."""
    interval = metrics.shape_bias_interval(trials)
    per_category = {
        str(name): _finite(metrics.shape_bias(own)) for name, own in trials.groupby("category")
    }
    return {
        **_finite(metrics.shape_bias(trials)),
        "interval": None if interval is None else list(interval),
        "per_category": per_category,
    }


def _finite(bias: Mapping[str, float]) -> dict[str, float | None]:
    """Return keys and values as JSON has them: underscores, and null for what is undefined."""
    return {
        key.replace(" ", "_"): value if np.isfinite(value) else None for key, value in bias.items()
    }


def run(
    *,
    model_name: str,
    seed: int,
    scale: str,
    weights: str | Path,
    stimuli: Mapping[str, str | Path],
    trials: Mapping[str, str | Path],
    results: Mapping[str, str | Path],
    threads: int = 1,
) -> None:
    """Let one model decide on several sets and write trials and a result for each.

    Args:
        model_name: As in ``open_clip.list_models()``.
        seed: The seed that the weights were pretrained with.
        scale: Written to the results.
        weights: Safetensors file.
        stimuli: Condition to set.
        trials: Condition to the CSV file to write.
        results: Condition to the JSON file to write.
        threads: Threads that torch may use.
    """
    torch.set_num_threads(threads)
    model, preprocess, tokenizer = create_model(model_name, weights=weights)
    image_parameters, text_parameters = count(model)
    digest, started = sha256(weights), time.monotonic()
    decided = evaluate(
        model, preprocess, tokenizer, stimuli, subject=f"{model_name}-{seed}", progress=False
    )
    each = (time.monotonic() - started) / len(decided)
    for condition, table in decided.items():
        metrics.write_trials(table, trials[condition])
        result = summarise(
            table,
            condition,
            scale=scale,
            model=model_name,
            seed=seed,
            image_parameters=image_parameters,
            text_parameters=text_parameters,
            stimuli_tar=stimuli[condition],
            weights_sha256=digest,
            started=time.monotonic() - each,
        )
        result.write(results[condition])
        print(f"{model_name}-{seed} {condition}: {result.value:.4f} {result.interval}")
