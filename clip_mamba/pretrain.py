"""CLIP pretraining with PyTorch Lightning: from a corpus to weights and a result."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from open_clip import CLIP
from pydantic import JsonValue
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from clip_mamba.data.batches import Plan, Source
from clip_mamba.data.cached import decode_all, fits_in_memory
from clip_mamba.data.order import Order
from clip_mamba.data.pairs import open_pairs
from clip_mamba.data.streamed import StreamedSource
from clip_mamba.device import pick_device
from clip_mamba.files import sha256
from clip_mamba.progress import LineProgress
from clip_mamba.recipe import Recipe
from clip_mamba.results import Result, library_versions
from clip_mamba.seeding import integer
from clip_mamba.training import checkpoints
from clip_mamba.training.checkpoints import Checkpoints, last_checkpoint
from clip_mamba.training.data import PairsData
from clip_mamba.training.environment import is_first, layout
from clip_mamba.training.module import ClipModule
from clip_mamba.training.preemption import Preemption
from clip_mamba.training.running import Running
from clip_mamba.training.throughput import flops_per_pair, peak_flops
from clip_mamba.training.trainer import make_trainer, resolve_precision, silence_known_noise
from clip_mamba.training.validation import ZeroShotValidation
from clip_mamba.variants import architecture

__all__ = ["ClipModule", "Pretrained", "last_checkpoint", "open_source", "pretrain", "run"]


@dataclass(frozen=True)
class Pretrained:
    """What a run produced: the model with its final weights, and how it went."""

    model: CLIP
    steps: int
    pairs: int
    seconds: float
    history: list[dict[str, float]]
    validation: list[dict[str, Any]] = field(default_factory=list)
    #: Visits to pairs that could not be read, another standing in.
    replaced: int = 0
    processes: int = 1
    #: Whether this process is the first, which writes.
    first: bool = True

    @property
    def final_loss(self) -> float:
        """Mean training loss over the last twentieth of the recorded steps."""
        tail = self.history[-max(1, len(self.history) // 20) :]
        return sum(point["loss"] for point in tail) / len(tail)


def pretrain(
    model: CLIP,
    source: Source,
    recipe: Recipe,
    *,
    image_size: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    seed: int,
    folder: str | Path,
    running: Running | None = None,
    name: str = "pretrain",
    identity: dict[str, Any] | None = None,
    extra: Sequence[Callback] = (),
) -> Pretrained:
    """Pretrain a CLIP model; continue from the last checkpoint in ``folder`` if there is one.

    Args:
        model: A CLIP model of open_clip's interface, freshly initialised.
        source: Where pairs come from.
        recipe: What is learnt.
        image_size: Side of the model's input in pixels.
        mean: Normalisation per channel in [0, 1].
        std: Likewise.
        seed: Seed of order, captions, augmentation and drop path.
        folder: Where checkpoints and TensorBoard logs go.
        running: Where and how it runs.
        name: Shown at the progress bar.
        identity: What tells this run from others, beside recipe and seed.
        extra: More callbacks.

    Returns:
        The model with its final weights, in evaluation mode, and the history.
    """
    running, folder = running or Running(), Path(folder)
    torch.set_num_threads(running.threads)
    plan = Plan(Order(source.shard_sizes, seed), recipe.batch_size, recipe.epochs, seed)
    identity = {"seed": seed, "recipe": asdict(recipe), **(identity or {})}
    start = last_checkpoint(folder, identity, first=is_first())
    progress = _progress(model, plan, recipe, running, image_size, name)
    module = ClipModule(model, recipe, plan, image_size=image_size, mean=mean, std=std)
    model.train()
    validation = [c for c in extra if isinstance(c, ZeroShotValidation)]
    callbacks = [*extra, _saving(folder, identity, running), progress, Preemption()]
    data = PairsData(plan, source, running.workers)
    with warnings.catch_warnings():
        silence_known_noise()
        trainer = make_trainer(
            recipe, running, steps=plan.steps, folder=folder, name=name, extra=callbacks
        )
        trainer.fit(module, data, ckpt_path=start, weights_only=True)
    return Pretrained(
        model.eval(),
        plan.steps,
        plan.steps * recipe.batch_size,
        module.seconds,
        module.history,
        validation[0].history if validation else [],
        module.replaced,
        trainer.world_size,
        trainer.is_global_zero,
    )


def _progress(
    model: CLIP, plan: Plan, recipe: Recipe, running: Running, image_size: int, name: str
) -> LineProgress:
    """Return the progress line, with the arithmetic's share where the device's rate is known."""
    nodes, devices = layout(running)
    peak = peak_flops(pick_device(), resolve_precision(recipe.precision))
    return LineProgress(
        name,
        plan.steps,
        plan.batch_size,
        flops_per_pair=flops_per_pair(model, image_size) if peak else 0.0,
        peak_flops=peak * nodes * devices if peak else None,
    )


def _saving(folder: Path, identity: dict[str, Any], running: Running) -> Checkpoints:
    return Checkpoints(
        folder,
        identity=identity,
        steps=running.checkpoint_steps,
        seconds=running.checkpoint_seconds,
        keep=running.keep_checkpoints,
    )


def open_source(
    index: str | Path,
    tokenizer: Callable[[list[str]], Tensor],
    recipe: Recipe,
    image_size: int,
) -> tuple[Source, str, int]:
    """Open a corpus the faster way: decoded in memory if it is small, else read as it goes.

    Args:
        index: ``index.json`` of the training shards.
        tokenizer: Turns strings into token ids.
        recipe: For the crop and the choice of captions.
        image_size: Side of the model's input in pixels.

    Returns:
        The source, the corpus's checksum and its number of pairs.
    """
    pairs = open_pairs(index)
    augmentation, first = recipe.augmentation, recipe.captions == "first"
    source: Source = StreamedSource(pairs, tokenizer, augmentation, image_size, first_caption=first)
    if fits_in_memory(pairs):
        whole = decode_all(pairs, tokenizer, augmentation, image_size, first_caption=first)
        source = whole or source
    return source, pairs.sha256, len(pairs)


def run(
    *,
    model_name: str,
    seed: int,
    scale: str,
    index: str | Path,
    settings: dict[str, Any],
    folder: str | Path,
    weights: str | Path,
    result: str | Path,
    running: Running | None = None,
) -> None:
    """Pretrain a named model on a corpus and write its weights and a result.

    Every process of a distributed run calls this; the first writes.

    Args:
        model_name: As in ``open_clip.list_models()``, or a variant (:mod:`clip_mamba.variants`).
        seed: Seed of the initialisation and of everything drawn in training.
        scale: Written to the result.
        index: ``index.json`` of the training shards.
        settings: The recipe, as :func:`clip_mamba.training.section.resolve` returns it.
        folder: Where checkpoints and TensorBoard logs go.
        weights: The safetensors file to write.
        result: The JSON file to write.
        running: Where and how it runs.
    """
    from clip_mamba import create_model

    recipe, running = Recipe.from_config(settings), running or Running()
    # Variants of a model start from the same weights, so that only the recipe differs.
    built = architecture(model_name)
    torch.manual_seed(integer(seed, "initialisation", built))
    model, preprocess, tokenizer = create_model(built)
    size = model.visual.image_size
    size = size[0] if isinstance(size, tuple) else size
    source, data_sha256, pairs = open_source(index, tokenizer, recipe, size)
    extra = []
    if running.validation_steps:
        tasks = running.validation_tasks
        extra = [ZeroShotValidation(tasks, running.validation_steps, preprocess, tokenizer)]
    done = pretrain(
        model,
        source,
        recipe,
        image_size=size,
        mean=model.visual.preprocess_cfg["mean"],
        std=model.visual.preprocess_cfg["std"],
        seed=seed,
        folder=folder,
        running=running,
        name=f"{model_name}-{seed}",
        identity={"model": model_name, "data_sha256": data_sha256},
        extra=extra,
    )
    if done.first:
        about = {"scale": scale, "model": model_name, "seed": seed, "data_sha256": data_sha256}
        _write(done, recipe, running, about, pairs, Path(weights), Path(result))
        checkpoints.remove(folder)


def _write(
    done: Pretrained,
    recipe: Recipe,
    running: Running,
    about: dict[str, Any],
    pairs: int,
    weights: Path,
    result: Path,
) -> None:
    """Write weights and result."""
    from clip_mamba.checkpoints import save_weights
    from clip_mamba.parameters import count

    metadata = {
        **{name: str(value) for name, value in about.items()},
        "steps": str(done.steps),
        "pairs": str(done.pairs),
        "recipe": json.dumps(asdict(recipe)),
        "weights": "ema" if recipe.ema else "online",
        "versions": json.dumps(library_versions()),
    }
    save_weights(weights, done.model, metadata)
    image_parameters, text_parameters = count(done.model)
    Result(
        kind="pretrain",
        **about,
        image_parameters=image_parameters,
        text_parameters=text_parameters,
        task="clip",
        split="train",
        examples=pairs,
        metric="training loss, mean over the last twentieth of the run",
        value=done.final_loss,
        details={
            "steps": done.steps,
            "pairs": done.pairs,
            "pairs_per_second": done.pairs / done.seconds,
            "unreadable_visits": done.replaced,
            "precision": resolve_precision(recipe.precision),
            "processes": done.processes,
            "threads": running.threads,
            "history": cast("list[JsonValue]", done.history),
            "validation": cast("list[JsonValue]", done.validation),
        },
        weights_sha256=sha256(weights),
        device=str(next(done.model.parameters()).device),
        seconds=done.seconds,
    ).write(result)
