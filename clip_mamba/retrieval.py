"""Image-text retrieval: recall at 1, 5 and 10, both ways, in bounded memory.

Image to text: the share of images of which any own caption is among the k captions most similar
to it. Text to image: the share of captions whose image is among the k most similar images. As in
CLIP (Radford et al. 2021, section 3.1.5 and appendix E) and in the original release.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from clip_mamba.classifier import encode_texts
from clip_mamba.data.described import missing
from clip_mamba.data.shards import check_shard
from clip_mamba.features import Encoded, ImageEncoder
from clip_mamba.files import sha256
from clip_mamba.results import Result, Seed
from clip_mamba.statistics import METHOD, mean_interval
from clip_mamba.subject import Subject, open_subject, unmeasured
from clip_mamba.zeroshot import unit_features

#: The k of the recalls.
RECALLS = (1, 5, 10)

#: The two directions, as in results and tables.
DIRECTIONS = ("image-to-text", "text-to-image")

_METRIC = "mean recall"


@torch.inference_mode()
def ranks(
    images: Tensor, texts: Tensor, owner: Tensor, *, chunk: int = 512
) -> tuple[np.ndarray, np.ndarray]:
    """Return where the right answer of each query stands.

    Similarities are computed for ``chunk`` queries at a time and never kept, so memory grows
    with the number of candidates and not with its square. Of equally similar candidates the
    first comes first, as in a stable sort: a model that tells nothing apart scores chance.

    Args:
        images: (n, embed) image features with unit rows.
        texts: (m, embed) caption features with unit rows.
        owner: (m,) index of the image that each caption describes.
        chunk: Queries compared at a time.

    Returns:
        (n,) rank of each image's best caption among all captions, and (m,) rank of each
        caption's image among all images; 0 is the top.

    Raises:
        ValueError: If an image has no caption.
    """
    own = owner.to(texts.device)
    counts = torch.bincount(own, minlength=len(images))
    if len(counts) > len(images) or bool((counts == 0).any()):
        raise ValueError("every image needs a caption, and every caption an image")
    place = torch.arange(len(texts), device=texts.device)
    to_text = []
    for start in range(0, len(images), chunk):
        similar = images[start : start + chunk] @ texts.T  # (chunk, m)
        rows = torch.arange(start, start + len(similar), device=own.device)
        mine = similar.masked_fill(own != rows[:, None], -torch.inf)
        best = mine.argmax(1, keepdim=True)  # the first of the equally best own captions
        to_text.append(_ahead(similar, similar.gather(1, best), best, place))
    place = torch.arange(len(images), device=images.device)
    to_image = []
    for start in range(0, len(texts), chunk):
        similar = texts[start : start + chunk] @ images.T  # (chunk, n)
        right = own[start : start + chunk, None]
        to_image.append(_ahead(similar, similar.gather(1, right), right, place))
    return torch.cat(to_text).cpu().numpy(), torch.cat(to_image).cpu().numpy()


def _ahead(similar: Tensor, value: Tensor, right: Tensor, place: Tensor) -> Tensor:
    # How many candidates come before the right one.
    return ((similar > value) | ((similar == value) & (place < right))).sum(1)


def recalls(rank: np.ndarray, units: np.ndarray, *, seed: int = 0) -> dict[str, Any]:
    """Return recall at every k with a 95 % interval.

    Args:
        rank: (queries,) rank of the right answer, 0 for the top.
        units: (queries,) the image each query belongs to; whole images are drawn.
        seed: Seed of the bootstrap.

    Returns:
        ``R@k`` to value and interval.
    """
    return {
        f"R@{k}": {
            "value": float(np.mean(rank < k)),
            "interval": list(mean_interval(rank < k, units, seed=seed)),
        }
        for k in RECALLS
    }


def captions_of(examples: Encoded) -> tuple[list[str], np.ndarray]:
    """Return all captions of a set and the image that each describes.

    Args:
        examples: The set; ``<key>.json`` holds ``{"captions": [...]}``.

    Returns:
        (m,) captions and (m,) image indices.

    Raises:
        ValueError: If an image has none.
    """
    texts: list[str] = []
    owner: list[int] = []
    for i, (key, facts) in enumerate(zip(examples.keys, examples.metadata(), strict=True)):
        own = facts.get("captions") or []
        if not own:
            raise ValueError(f"sample {key} has no caption. Build the set again.")
        texts += own
        owner += [i] * len(own)
    return texts, np.array(owner, dtype=np.int64)


def evaluate(
    subject: Subject, encoder: ImageEncoder, folder: str | Path
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Score a model on a retrieval set.

    Args:
        subject: The model.
        encoder: Of its image tower, with unit rows.
        folder: Where ``test.tar`` lies.

    Returns:
        Recalls with intervals by direction, their mean, the counts; and the rank of every query.
    """
    examples = encoder.read(Path(folder) / "test.tar")
    texts, owner = captions_of(examples)
    features = encode_texts(subject.model, subject.tokenizer, texts).cpu()
    to_text, to_image = ranks(examples.features, features, torch.from_numpy(owner))
    own = np.arange(len(examples.keys))
    found = {
        DIRECTIONS[0]: recalls(to_text, own),
        DIRECTIONS[1]: recalls(to_image, owner),
    }
    hits = np.mean([to_text < k for k in RECALLS], axis=0)  # of each image
    per_image = np.bincount(owner, weights=np.mean([to_image < k for k in RECALLS], axis=0))
    both = (hits + per_image * len(own) / len(owner)) / 2  # its mean is that of all recalls
    facts = found | {
        "images": len(own),
        "captions": len(texts),
        "corrupt_images": len(examples.corrupt),
        "mean": float(both.mean()),
        "interval": mean_interval(both),
    }
    directions = np.repeat(DIRECTIONS, [len(own), len(owner)])
    frame = pd.DataFrame({
        "direction": pd.Categorical(directions, categories=list(DIRECTIONS)),
        "image": [examples.keys[i] for i in [*own, *owner]],
        "rank": np.concatenate([to_text, to_image]).astype(np.int32),
    })
    return facts, frame


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
    """Score one model on several retrieval sets and write a result and the ranks for each.

    Args:
        model_name: As in ``open_clip.list_models()``.
        seed: The seed that the weights were pretrained with, or where they are from.
        scale: Written to the results.
        weights: Safetensors file.
        tasks: Folders with ``retrieval.json`` and ``test.tar``.
        results: The JSON file to write for each set.
        predictions: The parquet file to write for each set.
        threads: Threads that torch may use, and that decode pictures.
        device: Where to compute; ``auto`` for the GPU if there is one.
    """
    subject = open_subject(model_name, seed, scale, weights, threads=threads, device=device)
    encoder = subject.encoder(unit_features(subject.model))
    subject.measure_all(
        lambda folder: _measure(subject, encoder, folder),
        tasks,
        results,
        predictions,
        lambda found: f"mean recall {found.value:.4f} {found.interval}",
    )


def _measure(subject: Subject, encoder: ImageEncoder, folder: Path) -> tuple[Result, pd.DataFrame]:
    started = time.monotonic()
    if (absent := missing(folder, "retrieval.json")) is not None:
        found = unmeasured("retrieval", absent, **subject.fields(started))
        return found, pd.DataFrame({"rank": np.empty(0, np.int32)})
    about = json.loads((Path(folder) / "retrieval.json").read_text())
    tar = Path(folder) / "test.tar"
    if "sha256" in about:
        check_shard(tar, about["sha256"])
    facts, frame = evaluate(subject, encoder, folder)
    name = about.get("name", Path(folder).name)
    value, interval = facts.pop("mean"), facts.pop("interval")
    facts["corrupt_images"] += about.get("unreadable", 0)
    result = Result(
        kind="retrieval",
        task=name,
        split=about.get("split", "test"),
        examples=facts["images"],
        metric=_METRIC,
        value=value,
        interval=interval,
        interval_method=METHOD.format(resamples=1000, units="images"),
        details={"title": about.get("title", name), "note": about.get("note")} | facts,
        data_sha256=about.get("sha256") or sha256(tar),
        **subject.fields(started),
    )
    return result, frame
