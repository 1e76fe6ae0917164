"""Training progress as lines, which stay readable when several jobs share a terminal."""

from __future__ import annotations

import sys
import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from tqdm import tqdm


class LineProgress(Callback):
    """Print one bar a few times a minute instead of redrawing it in place.

    It shows the time left, pairs per second, the loss, the share of time that was spent waiting
    for data and, on a device whose peak is known, the share of its arithmetic that is used (MFU).
    """

    def __init__(
        self,
        name: str,
        steps: int,
        batch_size: int,
        *,
        flops_per_pair: float = 0.0,
        peak_flops: float | None = None,
        every: float = 10.0,
    ) -> None:
        """Set what is shown.

        Args:
            name: The run.
            steps: Steps of the whole run.
            batch_size: Pairs a step, over all processes.
            flops_per_pair: Arithmetic of a training step per pair.
            peak_flops: FLOP/s of all devices together, if known.
            every: Seconds between two lines.
        """
        self.name, self.steps, self.batch_size, self.every = name, steps, batch_size, every
        self.flops_per_pair, self.peak_flops = flops_per_pair, peak_flops
        self.started = self.printed = self.left = time.monotonic()
        self.first, self.waited = 0, 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock.

        Args:
            trainer: The trainer.
            pl_module: The module.
        """
        del pl_module
        self.started = self.printed = self.left = time.monotonic()
        self.first, self.waited = trainer.global_step, 0.0

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Note how long the batch was waited for.

        Args:
            trainer: The trainer.
            pl_module: The module.
            batch: The batch.
            batch_idx: Its number.
        """
        del trainer, pl_module, batch, batch_idx
        self.waited += time.monotonic() - self.left

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Print a line if the last one is old enough.

        Args:
            trainer: The trainer.
            pl_module: The module.
            outputs: What the step returned.
            batch: The batch.
            batch_idx: Its number.
        """
        del pl_module, outputs, batch, batch_idx
        now, step = time.monotonic(), trainer.global_step
        self.left = now
        if not trainer.is_global_zero or (now - self.printed < self.every and step < self.steps):
            return
        self.printed = now
        elapsed = now - self.started
        line = tqdm.format_meter(
            n=step,
            total=self.steps,
            initial=self.first,
            elapsed=elapsed,
            rate=(step - self.first) / elapsed if elapsed > 0 else None,
            prefix=self.name,
            unit="step",
            ncols=120,
            postfix=self._rates(trainer, step, elapsed),
        )
        print(line, file=sys.stderr, flush=True)

    def _rates(self, trainer: pl.Trainer, step: int, elapsed: float) -> str:
        pairs = self.batch_size * (step - self.first) / elapsed if elapsed > 0 else 0.0
        loss = float(trainer.callback_metrics.get("loss", 0))
        parts = [f"{pairs:.0f} pairs/s", f"loss {loss:.3f}"]
        if self.peak_flops:
            parts.append(f"MFU {pairs * self.flops_per_pair / self.peak_flops:.0%}")
        parts.append(f"data {self.waited / elapsed:.0%}" if elapsed > 0 else "")
        for logger in trainer.loggers:
            rates = {
                "pairs_per_second": pairs,
                "waiting_for_data": self.waited / max(elapsed, 1e-9),
            }
            logger.log_metrics(rates, step)
        return ", ".join(parts)
