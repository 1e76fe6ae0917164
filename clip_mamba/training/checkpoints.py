"""Checkpoints: whole or not at all, by steps and by the clock, the last few kept."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pytorch_lightning.callbacks import Callback

from clip_mamba.files import atomic_write
from clip_mamba.training.module import ClipModule

#: Says which run the checkpoints of a folder belong to.
IDENTITY = "run.json"


class CheckpointError(OSError):
    """A checkpoint that could not be written."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write to a temporary file beside the target, to the disk, and only then under its name.

    Lightning's own writer goes through the folder for temporary files, which may lie on another
    disk: the move is then a copy, and a full disk or a kill leaves half a checkpoint.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write a checkpoint.

        Args:
            checkpoint: What to write.
            path: The file.
            storage_options: Unused.

        Raises:
            CheckpointError: If the disk is full or cannot be written.
        """
        del storage_options
        try:
            with atomic_write(path) as temporary:
                torch.save(checkpoint, temporary)
                with open(temporary, "rb") as file:
                    os.fsync(file.fileno())
        except (OSError, RuntimeError) as error:  # torch's writer raises the latter
            # Its message hides the reason when the disk is full; the cause of the cause has it.
            reason = next((e for e in _chain(error) if isinstance(e, OSError)), error)
            lines = str(reason).strip().splitlines() or [type(reason).__name__]
            raise CheckpointError(
                f"cannot write the checkpoint {path} ({lines[0]}; {_free(Path(path))}). The "
                "checkpoints before it are whole: free some space and start the run again."
            ) from error


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _free(path: Path) -> str:
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return "its folder is gone"
    return f"{disk.f_bavail * disk.f_frsize / 2**20:.0f} MiB free"


class Checkpoints(Callback):
    """Save every so many steps and seconds; keep the last few."""

    def __init__(
        self,
        folder: Path,
        *,
        identity: dict[str, Any],
        steps: int | None,
        seconds: float | None,
        keep: int,
    ) -> None:
        """Set when.

        Args:
            folder: Where the checkpoints go.
            identity: What tells this run from others, for ``run.json``.
            steps: Steps between two checkpoints; None for no such rule.
            seconds: Seconds between two checkpoints; None for no such rule.
            keep: Checkpoints that are kept.
        """
        self.folder, self.identity = folder, identity
        self.steps, self.seconds, self.keep = steps, seconds, keep
        self.saved = time.monotonic()
        self.last: Path | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock, and say whose checkpoints these are.

        Args:
            trainer: The trainer.
            pl_module: The module.

        Raises:
            RuntimeError: If the processes found different checkpoints.
        """
        self.saved = time.monotonic()
        self.last = next(iter(find(self.folder)), None)
        here = torch.tensor([trainer.global_step], device=pl_module.device)
        steps = torch.as_tensor(pl_module.all_gather(here)).flatten().tolist()
        if len(set(steps)) > 1:
            raise RuntimeError(
                f"the processes go on from different steps ({sorted(set(steps))}): they "
                f"do not see the same {self.folder}. It must be on a disk that all nodes share."
            )
        if trainer.is_global_zero:
            with atomic_write(self.folder / IDENTITY) as temporary:
                temporary.write_text(json.dumps(self.identity, indent=1) + "\n")

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Let the first process's clock ask for a checkpoint; the step tells the others.

        Args:
            trainer: The trainer.
            pl_module: The module.
            batch: The batch.
            batch_idx: Its number.
        """
        del batch, batch_idx
        assert isinstance(pl_module, ClipModule)
        due = self.seconds is not None and time.monotonic() - self.saved >= self.seconds
        pl_module.save_asked = trainer.is_global_zero and due

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Save if a checkpoint is due or the run is about to stop.

        Args:
            trainer: The trainer.
            pl_module: The module.
            outputs: What the step returned.
            batch: The batch.
            batch_idx: Its number.
        """
        del outputs, batch, batch_idx
        assert isinstance(pl_module, ClipModule)
        step = trainer.global_step
        by_step = self.steps is not None and step % self.steps == 0
        if by_step or pl_module.save_asked or pl_module.stop_agreed:
            self.last = self.folder / f"step={step}.ckpt"
            trainer.save_checkpoint(self.last)
            self.saved = time.monotonic()
            if trainer.is_global_zero:
                for old in find(self.folder)[self.keep :]:
                    old.unlink()


def find(folder: str | Path) -> list[Path]:
    """Return the checkpoints of a folder.

    Args:
        folder: The folder.

    Returns:
        The files, the newest first.
    """
    return sorted(Path(folder).glob("step=*.ckpt"), key=_step, reverse=True)


def _step(path: Path) -> int:
    return int(path.stem.removeprefix("step=").split("-")[0])


def last_checkpoint(
    folder: str | Path, identity: dict[str, Any] | None = None, *, first: bool = True
) -> Path | None:
    """Return the newest checkpoint that can be read, telling of any that cannot.

    Every process of a run calls this and comes to the same answer.

    Args:
        folder: Where a run keeps its checkpoints.
        identity: What tells this run from others. Checkpoints of another run (another recipe,
            corpus or seed) are moved aside, not continued and not deleted.
        first: Whether this is the first process, which talks and moves.

    Returns:
        The path, or ``None`` to start from the beginning.
    """
    folder = Path(folder)
    if identity is not None and (changed := _changes(folder, identity)):
        if first:
            _set_aside(folder, changed)
        return None
    for path in find(folder):
        try:
            torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            if first:
                print(f"{path} is damaged ({reason}); falling back to the checkpoint before it")
            continue
        if first:
            print(f"continuing from {path}")
        return path
    return None


def _changes(folder: Path, identity: dict[str, Any]) -> list[str]:
    """Return in what the run that wrote the checkpoints differs from this one."""
    try:
        before = json.loads((folder / IDENTITY).read_text())
    except FileNotFoundError:  # checkpoints of a version that did not write it
        return [IDENTITY] if find(folder) else []
    now = json.loads(json.dumps(identity))
    return sorted(k for k in {*before, *now} if before.get(k) != now.get(k))


def _set_aside(folder: Path, changed: list[str]) -> None:
    """Move the checkpoints of another run to a folder of their own; their identity goes last."""
    known = folder / IDENTITY
    text = known.read_bytes() if known.exists() else b""
    aside = folder / f"before-{hashlib.sha256(text).hexdigest()[:8]}"
    aside.mkdir(exist_ok=True)
    for path in [*find(folder), *([known] if text else [])]:
        os.replace(path, aside / path.name)
    print(
        f"the checkpoints in {folder} are of another run ({', '.join(changed)} changed); "
        f"moved to {aside}, starting from the beginning"
    )


def remove(folder: str | Path) -> None:
    """Delete the checkpoints of a run that is done: a rerun must not continue them.

    Args:
        folder: Where the run kept them.
    """
    for path in [*find(folder), Path(folder) / IDENTITY]:
        path.unlink(missing_ok=True)
