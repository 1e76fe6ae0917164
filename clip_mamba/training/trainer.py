"""The trainer of a pretraining: processes, precision, callbacks and logs."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger

from clip_mamba.ema import CosineEMA
from clip_mamba.recipe import Recipe
from clip_mamba.training.checkpoints import AtomicCheckpointIO
from clip_mamba.training.environment import placement
from clip_mamba.training.running import Running


def make_trainer(
    recipe: Recipe, running: Running, *, steps: int, folder: Path, name: str, extra: list[Callback]
) -> pl.Trainer:
    """Return a trainer that counts optimizer steps.

    Args:
        recipe: What is learnt.
        running: Where and how.
        steps: Optimizer steps of the whole run.
        folder: For logs.
        name: The run.
        extra: Callbacks beside the averaging, in the order in which they act.

    Returns:
        The trainer.
    """
    where = placement(running)
    average = [CosineEMA(recipe.ema_start, steps, recipe.ema_buffers)] if recipe.ema else []
    return pl.Trainer(
        max_steps=steps,
        precision=resolve_precision(recipe.precision),
        plugins=[AtomicCheckpointIO(), where.pop("environment")],
        logger=_loggers(folder, name, running.wandb),
        log_every_n_steps=10,
        gradient_clip_val=recipe.gradient_clip,
        enable_checkpointing=False,  # ours are callbacks like others
        enable_model_summary=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
        default_root_dir=folder,
        callbacks=[*average, *extra],
        **where,
    )


def resolve_precision(precision: str) -> Any:
    """Choose a precision that the machine has.

    Args:
        precision: Lightning's name, or ``auto``.

    Returns:
        For ``auto``, ``bf16-mixed`` on a CUDA device or a processor with native bfloat16 products
        (elsewhere they are emulated and slower than float32), else ``32-true``. For ``16-mixed``
        without a CUDA device, ``32-true``.
    """
    if precision == "16-mixed" and not torch.cuda.is_available():
        return "32-true"
    if precision != "auto":
        return precision
    cpu = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    native = bool(cpu.get("avx512_bf16") or cpu.get("amx_bf16") or cpu.get("bf16"))
    return "bf16-mixed" if torch.cuda.is_available() or native else "32-true"


def _loggers(folder: Path, name: str, project: str | None) -> list[Logger]:
    loggers: list[Logger] = [TensorBoardLogger(folder, name="tensorboard", version="")]
    if project is not None:
        if importlib.util.find_spec("wandb") is None:
            raise ValueError(
                f"logging to Weights & Biases (wandb: {project}) needs the package wandb: "
                "pip install wandb, or set training.wandb to null"
            )
        loggers.append(WandbLogger(project=project, name=name, save_dir=str(folder)))
    return loggers


def silence_known_noise() -> None:
    """Drop Lightning's advertisements and warnings that do not apply to these loaders.

    Call this within ``warnings.catch_warnings``.
    """
    for message in (
        ".*does not have many workers.*",
        ".*GPU available but not used.*",
        ".*lr_scheduler.step.*",
        ".*LeafSpec.*",
        ".*`srun` command is available.*",
        ".*smaller than the logging interval.*",
        ".*your dataloader is not resumable.*",
        ".*Grad strides do not match bucket view strides.*",
        # open_clip's gather; its successor exists in the newest torch alone.
        ".*all_gather is deprecated.*",
        ".*`broadcast_buffers` is deprecated.*",
    ):
        warnings.filterwarnings("ignore", message=message)
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
