"""What a run does when it is told to make room: save, put itself back into the queue, stop."""

from __future__ import annotations

import os
import signal
import subprocess
from types import FrameType
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from clip_mamba.training.module import ClipModule

#: SIGUSR1 asks to be queued again (`sbatch --signal=USR1@300`). SIGTERM is what `scancel` or an
#: operator sends, who decides whether the job runs again, and what a preempting scheduler sends.
SIGNALS = (signal.SIGUSR1, signal.SIGTERM)


class StoppedError(RuntimeError):
    """The run was told to stop and has saved its state."""


class Preemption(Callback):
    """Stop at the end of the step after a signal, in all processes, with a checkpoint.

    The handler sets a flag and nothing more; the module's exchange at each step spreads it. Thus
    no process saves in the middle of a step, and none waits for one that has left.
    """

    def __init__(self) -> None:
        """Remember nothing yet."""
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen, in place of Lightning's handlers.

        Args:
            trainer: The trainer.
            pl_module: The module.
        """
        del trainer

        def ask(number: int, frame: FrameType | None) -> None:
            del frame
            self.received = signal.Signals(number)
            pl_module.stop_asked = True  # type: ignore[assignment]

        try:
            self._before = {name: signal.signal(name, ask) for name in SIGNALS}
        except ValueError:  # not the main thread: nobody can listen there
            self._before = {}

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Stop if any process was told to; the checkpoint has been written by then.

        Args:
            trainer: The trainer.
            pl_module: The module.
            outputs: What the step returned.
            batch: The batch.
            batch_idx: Its number.

        Raises:
            StoppedError: In all processes, if any was told to stop.
        """
        del outputs, batch, batch_idx
        assert isinstance(pl_module, ClipModule)
        if not pl_module.stop_agreed or trainer.global_step >= pl_module.plan.steps:
            return
        again = ""
        if trainer.is_global_zero and (self.received == signal.SIGUSR1 or preempted()):
            again = requeue()
        name = self.received.name if self.received else "a signal to another process"
        raise StoppedError(
            f"stopped by {name} after step {trainer.global_step} with a checkpoint{again}; the "
            "same command goes on from there"
        )

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Put the handlers back.

        Args:
            trainer: The trainer.
            pl_module: The module.
            stage: Lightning's name of the stage.
        """
        del trainer, pl_module, stage
        for name, handler in self._before.items():
            signal.signal(name, handler if handler is not None else signal.SIG_DFL)
        self._before = {}


def preempted() -> bool:
    """Ask Slurm whether another job takes this one's place.

    It then has its grace time, and would count as failed if it ended before: Slurm puts back into
    the queue only what it has to kill.

    Returns:
        Whether this is a job that is being preempted and is not in the queue again yet.
    """
    job = job_number()
    if job is None:
        return False
    command = ["scontrol", "--oneliner", "show", "job", job]
    try:
        told = subprocess.run(command, capture_output=True, text=True).stdout
    except OSError:
        return False
    facts = dict(word.split("=", 1) for word in told.split() if "=" in word)
    return facts.get("JobState") == "RUNNING" and facts.get("PreemptTime", "None") != "None"


def job_number() -> str | None:
    """Return the number of the Slurm job that this process belongs to, if any."""
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        return f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return os.environ.get("SLURM_JOB_ID")


def requeue() -> str:
    """Ask Slurm to run this job again.

    Returns:
        What came of it, for the message.
    """
    job = job_number()
    if job is None:
        return ""
    try:
        done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True)
    except OSError as error:
        return f" (job {job} could not be queued again: {error})"
    if done.returncode:
        return f" (job {job} could not be queued again: {done.stderr.strip()})"
    return f" (job {job} is queued again)"
