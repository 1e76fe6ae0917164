"""Exponential moving average of the weights."""

from __future__ import annotations

import math

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from clip_mamba.recipe import Buffers


def momentum(start: float, step: int, steps: int) -> float:
    """Return the EMA momentum at a step: from ``start`` to 1 as a cosine (the report's recipe).

    Args:
        start: Momentum at the first step.
        step: The step.
        steps: Number of steps after which it is 1.

    Returns:
        A number in [start, 1].
    """
    progress = min(1.0, step / steps)
    return 1 - (1 - start) * (1 + math.cos(math.pi * progress)) / 2


class CosineEMA(WeightAveraging):
    """Lightning's weight averaging with the cosine momentum of :func:`momentum`.

    Parameters are averaged. For BatchNorm's running statistics there is a choice:

    - ``copied``: those of the model in training. They are averages over some ten steps already, and
      after hundreds of steps, when the weights hardly move, those of the averaged model are close.
    - ``averaged``: with the momentum of the weights. Early statistics fade as slowly as early
      weights do.
    - ``reference``: never touched, mean 0 and variance 1. That is what the reference does, by
      oversight; it changes SiMBA's features by 31 %.

    Other buffers are constants, an attention mask for one, and are copied.
    """

    def __init__(self, start: float, steps: int, buffers: Buffers = "copied") -> None:
        """Set the schedule.

        Args:
            start: Momentum at the first step.
            steps: Number of steps after which it is 1.
            buffers: What becomes of BatchNorm's statistics.
        """
        self.start, self.steps, self.buffers = start, steps, buffers

        def average(averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
            torch._foreach_lerp_(averaged, current, 1 - momentum(start, int(count), steps))

        super().__init__(use_buffers=False, multi_avg_fn=average)

    def update(self, model: nn.Module) -> None:
        """Move the averaged copy towards a model.

        Args:
            model: The model in training.
        """
        average = self._average_model
        assert average is not None
        count = int(average.n_averaged)
        kept = {
            name: [buffer.clone() for buffer in _statistics(layer)]
            for name, layer in _norms(average.module)
        }
        average.update_parameters(model)  # copies all buffers
        if self.buffers == "copied":
            return
        weight = 0.0
        if self.buffers == "averaged":
            weight = 1.0 if count == 0 else 1 - momentum(self.start, count, self.steps)
        for name, layer in _norms(average.module):
            for buffer, before in zip(_statistics(layer), kept[name], strict=True):
                buffer.copy_(torch.lerp(before, buffer, weight))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: object
    ) -> None:
        """Update the averaged copy after an optimizer step.

        Args:
            trainer: The trainer.
            pl_module: The module.
            *_: The step's output, the batch and its number.
        """
        if trainer.global_step > self._latest_update_step:
            self.update(pl_module)
            self._latest_update_step = trainer.global_step

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Do nothing: the copy moves by steps.

        Args:
            trainer: The trainer.
            pl_module: The module.
        """

    @property
    def averaged(self) -> nn.Module | None:
        """The averaged copy of the module, once training has begun."""
        return None if self._average_model is None else self._average_model.module


def _norms(model: nn.Module) -> list[tuple[str, _BatchNorm]]:
    return [(n, m) for n, m in model.named_modules() if isinstance(m, _BatchNorm)]


def _statistics(layer: _BatchNorm) -> list[Tensor]:
    return [b for b in (layer.running_mean, layer.running_var) if b is not None]
