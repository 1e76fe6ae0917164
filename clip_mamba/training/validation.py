"""Zero-shot accuracy of the averaged weights while a run goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from clip_mamba.data.described import missing
from clip_mamba.data.tasks import Task
from clip_mamba.ema import CosineEMA
from clip_mamba.zeroshot import evaluate


class ZeroShotValidation(Callback):
    """Score the averaged copy on some tasks every so many steps; training is not disturbed."""

    def __init__(
        self,
        folders: Sequence[str | Path],
        every: int,
        preprocess: Callable[..., torch.Tensor],
        tokenizer: Callable[[list[str]], torch.Tensor],
    ) -> None:
        """Read the tasks.

        Args:
            folders: Each with ``task.json`` and ``test.tar``.
            every: Steps between two validations.
            preprocess: From a PIL image to the model's input.
            tokenizer: From strings to token ids.
        """
        self.every, self.preprocess, self.tokenizer = every, preprocess, tokenizer
        self.history: list[dict[str, Any]] = []
        self.tasks: list[tuple[Task, Path]] = []
        for folder in map(Path, folders):
            if (absent := missing(folder)) is not None:
                print(f"no validation on {folder.name}: {absent['missing']}")
            else:
                self.tasks.append((Task.read(folder), folder))

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Validate in the first process; the others wait for it at their next step.

        Args:
            trainer: The trainer.
            pl_module: The module.
            outputs: What the step returned.
            batch: The batch.
            batch_idx: Its number.
        """
        del outputs, batch, batch_idx
        step = trainer.global_step
        if step % self.every == 0 and trainer.is_global_zero:
            found = self._scores(_weights(trainer, pl_module))
            self.history.append({"step": step, **found})
            for logger in trainer.loggers:
                logger.log_metrics({f"zeroshot/{k}": v for k, v in found.items()}, step)
            print(f"step {step}: " + ", ".join(f"{k} {v:.4f}" for k, v in found.items()))

    def _scores(self, model: Any) -> dict[str, float]:
        training = model.training
        model.eval()
        try:
            with torch.random.fork_rng(devices=[]):
                return {
                    task.name: evaluate(model, self.preprocess, self.tokenizer, task, folder).value
                    for task, folder in self.tasks
                }
        finally:
            model.train(training)

    def state_dict(self) -> dict[str, Any]:
        """Keep the scores with the checkpoint.

        Returns:
            The state.
        """
        return {"history": list(self.history)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the scores.

        Args:
            state_dict: From :meth:`state_dict`.
        """
        self.history = list(state_dict["history"])


def _weights(trainer: pl.Trainer, pl_module: pl.LightningModule) -> Any:
    callbacks: list[Callback] = list(trainer.callbacks)  # type: ignore[attr-defined]
    averages = (c.averaged for c in callbacks if isinstance(c, CosineEMA))
    return getattr(next(averages, None) or pl_module, "model")  # noqa: B009 - a Module's attribute
