"""Zero-shot classifiers from prompts, and a cache of them keyed by all that decides them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from open_clip import CLIP
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from clip_mamba.files import atomic_write


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
        ValueError: If there is no class or template, a class has no name, or a template no place
            for it.
    """
    empty = [i for i, names in enumerate(classes) if not names]
    if not classes or not templates or empty:
        raise ValueError(f"a classifier needs classes and templates; unnamed classes: {empty}")
    if bad := [t for t in templates if t.count("{}") != 1]:
        raise ValueError(f"the template {bad[0]!r} needs one {{}} for the name of the class")
    device = next(model.parameters()).device
    prompts = [t.format(name) for names in classes for name in names for t in templates]
    owner = [i for i, names in enumerate(classes) for _ in range(len(names) * len(templates))]
    embeddings = encode_texts(model, tokenizer, prompts, batch_size)  # (n_prompts, embed)
    sums = torch.zeros(len(classes), embeddings.shape[1], device=device)
    sums.index_add_(0, torch.tensor(owner, device=device), embeddings)
    # Dividing the sum by the number of prompts would only rescale what is normalised here.
    return F.normalize(sums, dim=-1).T


@torch.inference_mode()
def encode_texts(
    model: CLIP,
    tokenizer: Callable[[list[str]], Tensor],
    texts: Sequence[str],
    batch_size: int = 1024,
) -> Tensor:
    """Return normalised text features.

    A causal text tower reads its feature at the end token, which nothing after it can reach: the
    padding behind the longest text of a batch is cut off. Texts are sorted by length, so that
    short ones do not wait for long ones.

    Args:
        model: A CLIP model (``encode_text``).
        tokenizer: Turns strings into token ids.
        texts: The texts; equal ones are encoded once.
        batch_size: Texts encoded at once.

    Returns:
        (n, embed) float32 with unit rows.
    """
    device = next(model.parameters()).device
    distinct = list(dict.fromkeys(texts))
    place = {text: i for i, text in enumerate(distinct)}
    tokens = tokenizer(distinct)  # (n_distinct, context)
    order = tokens.argmax(-1).argsort(stable=True)
    parts = [
        F.normalize(_encode(model, tokens[order[i : i + batch_size]].to(device)), dim=-1).float()
        for i in range(0, len(distinct), batch_size)
    ]
    encoded = torch.cat(parts)
    unsorted = torch.empty_like(encoded)
    unsorted[order.to(device)] = encoded
    return unsorted[torch.tensor([place[text] for text in texts], device=device)]


def _encode(model: CLIP, tokens: Tensor) -> Tensor:
    # Without the padding that no text of the batch needs; tokens (n, context).
    length = int(tokens.argmax(-1).max()) + 1
    causal = isinstance(model, CLIP) and model.attn_mask is not None
    if not causal or model.text_pool_type != "argmax" or length >= tokens.shape[1]:
        return model.encode_text(tokens)
    assert model.attn_mask is not None
    shorter = {
        "positional_embedding": model.positional_embedding[:length],
        "attn_mask": model.attn_mask[:length, :length],
    }
    out: Any = functional_call(model, shorter, (None, tokens[:, :length]))
    return out["text_features"] if isinstance(out, dict) else out[1]


class ClassifierCache:
    """Classifiers in memory and on disk, by the sha256 of all that decides them."""

    def __init__(
        self, model: CLIP, tokenizer: Any, *, folder: str | Path | None = None, identity: str = ""
    ) -> None:
        """Prepare a cache for one model.

        Args:
            model: The model.
            tokenizer: Its tokenizer.
            folder: Where files go; ``None`` for memory only.
            identity: What tells this model from others: the sha256 of its weights, its name,
                and a digest of the code. Files are only used with one.
        """
        self.model, self.tokenizer = model, tokenizer
        self.folder = Path(folder) if folder is not None and identity else None
        self.identity = identity
        self.known: dict[str, Tensor] = {}

    def __call__(self, classes: Sequence[Sequence[str]], templates: Sequence[str]) -> Tensor:
        """Return the classifier of a label set.

        Args:
            classes: As in :func:`build_classifier`.
            templates: Likewise.

        Returns:
            (embed, n_classes) with unit columns.
        """
        key = self.key(classes, templates)
        if key not in self.known:
            stored = self._load(key, len(classes))
            if stored is None:
                stored = build_classifier(self.model, self.tokenizer, classes, templates)
                self._save(key, stored)
            self.known[key] = stored
        return self.known[key]

    def key(self, classes: Sequence[Sequence[str]], templates: Sequence[str]) -> str:
        """Return the sha256 that a classifier is stored under.

        Args:
            classes: As in :func:`build_classifier`.
            templates: Likewise.

        Returns:
            64 hexadecimal digits.
        """
        facts = [self.identity, [list(names) for names in classes], list(templates)]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def _load(self, key: str, classes: int) -> Tensor | None:
        path = self.folder / f"{key}.safetensors" if self.folder else None
        if path is None or not path.is_file():
            return None
        try:
            found = load_file(path)["classifier"]
        except (SafetensorError, OSError, KeyError):
            return None  # a damaged file is made anew
        fits = found.ndim == 2 and found.shape[0] == classes and bool(found.isfinite().all())
        return found.T.to(next(self.model.parameters()).device) if fits else None

    def _save(self, key: str, classifier: Tensor) -> None:
        if self.folder is None:
            return
        with atomic_write(self.folder / f"{key}.safetensors") as temporary:
            save_file({"classifier": classifier.T.contiguous().cpu()}, temporary)
