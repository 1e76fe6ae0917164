"""How a CLIP model decides among the benchmark's 16 categories.

In one of two ways: directly over their names (the demo's default), or over the classes of ImageNet,
each category's probability being the mean of its classes' (the benchmark's own way,
:data:`IMAGENET_CLASSES`). Both are one code path with a matrix from classes to categories.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from clip_mamba.classifier import build_classifier
from clip_mamba.data.categories import CATEGORIES

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
class Question:
    """What a model is asked: classes, sentences, and what a class says about the categories."""

    #: The decision in words, for results.
    title: str
    #: Synonyms of each class; the 16 categories' names if ``None``.
    names: Sequence[Sequence[str]] | None
    templates: Sequence[str]
    #: (n_classes, 16); the identity if ``None``.
    matrix: Tensor | None


def question(decision: str) -> Question:
    """Return one of the two documented ways to decide.

    Args:
        decision: ``names``, over the 16 names; or ``imagenet``, over the 1,000 classes of
            ImageNet with the names and 80 templates of the CLIP release (as open_clip has them),
            of which each category takes the mean probability.

    Returns:
        What to ask.

    Raises:
        ValueError: If there is no such way.
    """
    if decision == "names":
        return Question("16 category names", None, TEMPLATES, None)
    if decision == "imagenet":
        from open_clip import IMAGENET_CLASSNAMES, OPENAI_IMAGENET_TEMPLATES

        names = [[name] for name in IMAGENET_CLASSNAMES]
        templates = [template("{}") for template in OPENAI_IMAGENET_TEMPLATES]
        title = "mean probability of each category's ImageNet classes"
        return Question(title, names, templates, imagenet_matrix())
    raise ValueError(f"unknown decision {decision!r}: known: names, imagenet")


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
