"""Training progress as lines, which stay readable when several jobs share a terminal."""

import sys
import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from tqdm import tqdm


class LineProgress(Callback):
    """Print one bar a few times a minute instead of redrawing it in place."""

    def __init__(self, name: str, steps: int, batch_size: int, every: float = 10.0) -> None:
        """Set what is shown.

        Args:
            name: The run.
            steps: Steps of the whole run.
            batch_size: Pairs a step.
            every: Seconds between two lines.
        """
        self.name, self.steps, self.batch_size, self.every = name, steps, batch_size, every
        self.started = self.printed = time.monotonic()
        self.first = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock.

        Args:
            trainer: The trainer.
            pl_module: The module.
        """
        del pl_module
        self.started = self.printed = time.monotonic()
        self.first = trainer.global_step

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
        if not trainer.is_global_zero or (now - self.printed < self.every and step < self.steps):
            return
        self.printed = now
        elapsed = now - self.started
        rate = (step - self.first) / elapsed if elapsed > 0 else None
        loss = trainer.callback_metrics.get("loss")
        line = tqdm.format_meter(
            n=step,
            total=self.steps,
            elapsed=elapsed,
            rate=rate,
            prefix=self.name,
            unit="step",
            ncols=100,
            postfix=f"{self.batch_size * (rate or 0):.0f} pairs/s, loss {float(loss or 0):.3f}",
        )
        print(line, file=sys.stderr, flush=True)
