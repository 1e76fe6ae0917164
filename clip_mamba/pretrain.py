"""CLIP pretraining with PyTorch Lightning."""

from __future__ import annotations

import json
import logging
import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from open_clip import CLIP
from open_clip.loss import ClipLoss
from pydantic import JsonValue
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger
from timm.scheduler import CosineLRScheduler
from torch import Tensor

from clip_mamba.data.augment import Normalize
from clip_mamba.data.loader import CachedPairs
from clip_mamba.ema import CosineEMA
from clip_mamba.files import sha256
from clip_mamba.progress import LineProgress
from clip_mamba.recipe import Recipe, parameter_groups
from clip_mamba.results import Result, library_versions
from clip_mamba.seeding import integer


class ClipModule(pl.LightningModule):
    """CLIP model, contrastive loss, optimizer and schedule."""

    def __init__(
        self,
        model: CLIP,
        recipe: Recipe,
        *,
        steps: int,
        warmup_steps: int,
        seed: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
    ) -> None:
        """Wrap a model.

        Args:
            model: A CLIP model of open_clip's interface.
            recipe: The settings.
            steps: Number of optimizer steps of the whole run.
            warmup_steps: How many of them warm up.
            seed: Seed of drop path, as a function of the step.
            mean: Normalisation of the pictures, per channel in [0, 1].
            std: Likewise.
        """
        super().__init__()
        self.model, self.recipe, self.seed = model, recipe, seed
        self.steps, self.warmup_steps = steps, warmup_steps
        self.normalize = Normalize(mean, std)
        self.history: list[dict[str, float]] = []
        self.seconds_before, self.started = 0.0, time.monotonic()

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of training, those before an interruption included."""
        return self.seconds_before + time.monotonic() - self.started

    def setup(self, stage: str) -> None:
        """Make the loss once the processes are known.

        Args:
            stage: Lightning's name of the stage.
        """
        del stage
        self.loss = ClipLoss(
            local_loss=self.trainer.world_size > 1,
            gather_with_grad=True,
            rank=self.global_rank,
            world_size=self.trainer.world_size,
        )

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of a batch.

        Args:
            batch: Images (n, 3, h, w) uint8 and token ids (n, context).
            batch_idx: Number of the batch.

        Returns:
            The contrastive loss, the mean of both directions.

        Raises:
            FloatingPointError: If the loss is not finite.
        """
        del batch_idx
        # Drop path draws from torch's global generator: seeding it by the step makes a resumed
        # run equal to an uninterrupted one.
        torch.manual_seed(integer(self.seed, "step", self.global_step, self.global_rank))
        images, tokens = batch
        image, text, scale = self.model(self.normalize(images), tokens)
        loss = self.loss(image, text, scale)
        if not torch.isfinite(loss):
            last = getattr(self.trainer.checkpoint_callback, "last_model_path", "") or "none yet"
            raise FloatingPointError(
                f"the loss is {loss.item()} at step {self.global_step}; last good checkpoint: "
                f"{last}. Lower the learning rate or train in 32-true precision."
            )
        self.log("loss", loss, prog_bar=True)
        self.log("logit_scale", scale.detach())
        self._remember(loss)
        return loss

    def _remember(self, loss: Tensor) -> None:
        if self.global_step % max(1, self.steps // 200) == 0 or self.global_step == self.steps - 1:
            self.history.append({
                "step": self.global_step,
                "loss": round(loss.item(), 6),
                "lr": self.trainer.optimizers[0].param_groups[0]["lr"],
                "logit_scale": round(self.model.logit_scale.exp().item(), 4),
            })

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Clamp the logit scale, as CLIP does.

        Args:
            outputs: What the step returned.
            batch: The batch.
            batch_idx: Its number.
        """
        del outputs, batch, batch_idx
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, math.log(self.recipe.max_logit_scale))

    def configure_optimizers(self) -> Any:
        """Return AdamW with linear warm-up and cosine decay, updated at each step.

        Returns:
            Lightning's optimizer and scheduler settings.
        """
        r = self.recipe
        groups = parameter_groups(self.model, r.weight_decay, r.decay)
        optimizer = torch.optim.AdamW(groups, lr=r.lr, betas=r.betas, eps=r.eps, fused=True)
        scheduler = CosineLRScheduler(
            optimizer,
            t_initial=self.steps,
            lr_min=r.min_lr,
            warmup_t=self.warmup_steps,
            warmup_lr_init=r.warmup_lr,
            warmup_prefix=False,
            t_in_epochs=False,
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Advance timm's scheduler, which wants the number of updates.

        Args:
            scheduler: The scheduler.
            metric: Unused.
        """
        del metric
        scheduler.step_update(num_updates=self.global_step)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the history and the time spent with the checkpoint.

        Args:
            checkpoint: What Lightning is about to save.
        """
        checkpoint["history"] = list(self.history)
        checkpoint["seconds"] = self.seconds

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the history and the time spent.

        Args:
            checkpoint: What Lightning loaded.
        """
        self.history = list(checkpoint["history"])
        self.seconds_before = checkpoint["seconds"]


@dataclass(frozen=True)
class Pretrained:
    """What a run produced: the model with its EMA weights, and how it went."""

    model: CLIP
    steps: int
    pairs: int
    seconds: float
    history: list[dict[str, float]]

    @property
    def final_loss(self) -> float:
        """Mean training loss over the last twentieth of the recorded steps."""
        tail = self.history[-max(1, len(self.history) // 20) :]
        return sum(point["loss"] for point in tail) / len(tail)


def resolve_precision(precision: str) -> Any:
    """Choose a precision where the recipe says ``auto``.

    Args:
        precision: Lightning's name, or ``auto``.

    Returns:
        ``bf16-mixed`` on a CUDA device or a processor with native bfloat16 products (elsewhere
        they are emulated and slower than float32), else ``32-true``.
    """
    if precision != "auto":
        return precision
    cpu = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    native = bool(cpu.get("avx512_bf16") or cpu.get("amx_bf16") or cpu.get("bf16"))
    return "bf16-mixed" if torch.cuda.is_available() or native else "32-true"


def pretrain(
    model: CLIP,
    tokenizer: Callable[[list[str]], Tensor],
    images: Any,
    captions: Sequence[Sequence[str]],
    recipe: Recipe,
    *,
    image_size: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    seed: int,
    folder: str | Path,
    checkpoint_seconds: float = 20,
    threads: int = 1,
    name: str = "pretrain",
) -> Pretrained:
    """Pretrain a CLIP model; continue from the last checkpoint in ``folder`` if there is one.

    Args:
        model: A CLIP model of open_clip's interface, freshly initialised.
        tokenizer: Turns strings into token ids.
        images: (n, height, width, 3) uint8.
        captions: The captions of each picture.
        recipe: The settings.
        image_size: Side of the model's input in pixels.
        mean: Normalisation per channel in [0, 1].
        std: Likewise.
        seed: Seed of order, captions, augmentation and drop path.
        folder: Where checkpoints and TensorBoard logs go.
        checkpoint_seconds: Least time between two checkpoints.
        threads: Threads that torch may use.
        name: Shown at the progress bar.

    Returns:
        The model with its EMA weights, in evaluation mode, and the history.
    """
    torch.set_num_threads(threads)
    loader = CachedPairs(
        images,
        captions,
        tokenizer,
        recipe.augmentation.transform(image_size),
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        seed=seed,
    )
    warmup = round(recipe.warmup_epochs * loader.steps_per_epoch)
    module = ClipModule(
        model, recipe, steps=loader.steps, warmup_steps=warmup, seed=seed, mean=mean, std=std
    )
    if recipe.grad_checkpointing:
        model.set_grad_checkpointing(True)
    with torch.no_grad():
        model.logit_scale.fill_(math.log(recipe.init_logit_scale))
    model.train()
    trainer = _trainer(recipe, loader.steps, Path(folder), checkpoint_seconds, name)
    with warnings.catch_warnings():
        _silence_known_noise()
        trainer.fit(module, loader, ckpt_path=last_checkpoint(folder), weights_only=True)
    pairs = loader.steps * recipe.batch_size
    return Pretrained(model.eval(), loader.steps, pairs, module.seconds, module.history)


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
    checkpoint_seconds: float = 20,
    threads: int = 1,
) -> None:
    """Pretrain a named model on a corpus and write its EMA weights and a result.

    Args:
        model_name: As in ``open_clip.list_models()``.
        seed: Seed of the initialisation and of everything drawn in training.
        scale: Written to the result.
        index: ``index.json`` of the training shards.
        settings: The recipe's section of ``config.yaml``.
        folder: Where checkpoints and TensorBoard logs go.
        weights: The safetensors file to write.
        result: The JSON file to write.
        checkpoint_seconds: Least time between two checkpoints.
        threads: Threads that torch may use.
    """
    from clip_mamba import create_model
    from clip_mamba.checkpoints import save_weights
    from clip_mamba.data.shards import read_training
    from clip_mamba.parameters import count

    recipe = Recipe.from_config(settings)
    torch.manual_seed(integer(seed, "initialisation", model_name))
    model, _, tokenizer = create_model(model_name)
    corpus = read_training(index)
    if corpus.corrupt:
        print(f"{len(corpus.corrupt)} corrupt pictures were left out, first {corpus.corrupt[0]}")
    size = model.visual.image_size
    done = pretrain(
        model,
        tokenizer,
        corpus.images,
        [sample["captions"] for sample in corpus.metadata],
        recipe,
        image_size=size[0] if isinstance(size, tuple) else size,
        mean=model.visual.preprocess_cfg["mean"],
        std=model.visual.preprocess_cfg["std"],
        seed=seed,
        folder=folder,
        checkpoint_seconds=checkpoint_seconds,
        threads=threads,
        name=f"{model_name}-{seed}",
    )
    metadata = {
        "model": model_name,
        "seed": str(seed),
        "scale": scale,
        "steps": str(done.steps),
        "pairs": str(done.pairs),
        "data_sha256": corpus.sha256,
        "recipe": json.dumps(asdict(recipe)),
        "weights": "ema",
        "versions": json.dumps(library_versions()),
    }
    save_weights(weights, done.model, metadata)
    image_parameters, text_parameters = count(done.model)
    Result(
        kind="pretrain",
        scale=scale,
        model=model_name,
        image_parameters=image_parameters,
        text_parameters=text_parameters,
        seed=seed,
        task="clip",
        split="train",
        examples=len(corpus.images),
        metric="training loss, mean over the last twentieth of the run",
        value=done.final_loss,
        details={
            "steps": done.steps,
            "pairs": done.pairs,
            "pairs_per_second": done.pairs / done.seconds,
            "corrupt_images": len(corpus.corrupt),
            "precision": resolve_precision(recipe.precision),
            "threads": threads,
            "history": cast("list[JsonValue]", done.history),
        },
        weights_sha256=sha256(weights),
        data_sha256=corpus.sha256,
        device=str(next(done.model.parameters()).device),
        seconds=done.seconds,
    ).write(result)


def last_checkpoint(folder: str | Path) -> Path | None:
    """Return the newest checkpoint that can be read, telling of any that cannot.

    Args:
        folder: Where :func:`pretrain` keeps its checkpoints.

    Returns:
        The path, or ``None`` to start from the beginning.
    """
    found = sorted(Path(folder).glob("step=*.ckpt"), key=_step, reverse=True)
    for path in found:
        try:
            torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except Exception as error:
            print(f"{path} is damaged ({error}); falling back to the checkpoint before it")
            continue
        print(f"continuing from {path}")
        return path
    return None


def _step(path: Path) -> int:
    return int(path.stem.removeprefix("step=").split("-")[0])


def _trainer(
    recipe: Recipe, steps: int, folder: Path, checkpoint_seconds: float, name: str
) -> pl.Trainer:
    """Return a trainer that counts optimizer steps and checkpoints by the clock."""
    return pl.Trainer(
        max_steps=steps,
        precision=resolve_precision(recipe.precision),
        accelerator="auto",
        logger=TensorBoardLogger(folder, name="tensorboard", version=""),
        log_every_n_steps=10,
        enable_model_summary=False,
        enable_progress_bar=False,
        default_root_dir=folder,
        callbacks=[
            CosineEMA(recipe.ema_start, steps),
            LineProgress(name, steps, recipe.batch_size),
            ModelCheckpoint(
                dirpath=folder,
                filename="{step}",
                monitor="step",
                mode="max",
                save_top_k=2,
                train_time_interval=timedelta(seconds=checkpoint_seconds),
                enable_version_counter=False,
            ),
        ],
    )


def _silence_known_noise() -> None:
    """Hide Lightning's advice that does not apply to an in-memory loader."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for text in (
        ".*does not have many workers.*",
        ".*IterableDataset.*__len__.*",
        ".*Checkpoint directory.*exists and is not empty.*",
        ".*GPU available but not used.*",
        ".*lr_scheduler.step.*",
        ".*LeafSpec.*",
    ):
        warnings.filterwarnings("ignore", message=text)
