"""Measure one pretrained model on its training distribution and write the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from clip_mamba import create_model
from clip_mamba.data.augment import Normalize
from clip_mamba.data.loader import CachedPairs
from clip_mamba.data.shards import read_training
from clip_mamba.files import sha256
from clip_mamba.hessian.measure import Settings, measure
from clip_mamba.parameters import count
from clip_mamba.recipe import Recipe
from clip_mamba.results import Result, Seed


def run(
    *,
    model_name: str,
    seed: Seed,
    scale: str,
    weights: str | Path,
    index: str | Path,
    recipe: dict[str, Any],
    batches: int,
    batch_size: int,
    settings: dict[str, Any],
    result: str | Path,
    threads: int = 1,
) -> None:
    """Measure the Hessian of a model and write a result.

    The mini-batches are augmented training pairs, drawn from the corpus with seed 0 whatever
    the model's own seed: every model is measured on the same pictures and captions.

    Args:
        model_name: As in ``open_clip.list_models()``.
        seed: The seed that the weights were pretrained with.
        scale: Written to the result.
        weights: Safetensors file.
        index: ``index.json`` of the training shards.
        recipe: The pretraining recipe's settings: augmentation, weight decay and its rule.
        batches: Number of mini-batches.
        batch_size: Pairs in each.
        settings: Further fields of :class:`clip_mamba.hessian.measure.Settings`.
        result: The JSON file to write.
        threads: Threads that torch may use.
    """
    torch.set_num_threads(threads)
    model, _, tokenizer = create_model(model_name, weights=weights)
    corpus, pretraining = read_training(index), Recipe.from_config(recipe)
    size = model.visual.image_size
    loader = CachedPairs(
        corpus.images,
        [sample["captions"] for sample in corpus.metadata],
        tokenizer,
        pretraining.augmentation.transform(size[0] if isinstance(size, tuple) else size),
        batch_size=batch_size,
        epochs=1,
        seed=0,
    )
    expected = model.visual.preprocess_cfg
    normalize = Normalize(expected["mean"], expected["std"])
    drawn = [loader.batch(i) for i in range(batches)]
    report = measure(
        model,
        [(normalize(images), tokens) for images, tokens in drawn],
        Settings(l2=pretraining.weight_decay, decay=pretraining.decay, **settings),
    )
    image_parameters, text_parameters = count(model)
    Result(
        scale=scale,
        model=model_name,
        image_parameters=image_parameters,
        text_parameters=text_parameters,
        seed=seed,
        split="training pairs, augmented",
        weights_sha256=sha256(weights),
        data_sha256=corpus.sha256,
        **report.result_fields(),
    ).write(result)
