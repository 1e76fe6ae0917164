"""Where and how a pretraining runs; none of it changes what is learnt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Running:
    """Settings of the machine, the checkpoints and the logs.

    Attributes:
        nodes: Machines.
        devices: Processes on each machine, one per GPU where there are GPUs.
        threads: Threads of each process.
        workers: Processes beside each that read and decode pictures; 0 if it does so itself.
        checkpoint_seconds: Seconds between two checkpoints; None for no such rule.
        checkpoint_steps: Steps between two checkpoints; None for no such rule.
        keep_checkpoints: Checkpoints that are kept.
        validation_steps: Steps between two zero-shot validations; None for none.
        validation_tasks: Folders of zero-shot tasks, or in ``config.yaml`` their names.
        wandb: Project on Weights & Biases to log to as well, or None.
    """

    nodes: int = 1
    devices: int = 1
    threads: int = 1
    workers: int = 0
    checkpoint_seconds: float | None = 600
    checkpoint_steps: int | None = None
    keep_checkpoints: int = 2
    validation_steps: int | None = None
    validation_tasks: tuple[str, ...] = ()
    wandb: str | None = None

    @classmethod
    def from_config(cls, section: Mapping[str, Any]) -> Running:
        """Build from a study's section ``training`` of ``config.yaml``.

        Args:
            section: Names and values.

        Returns:
            The settings.

        Raises:
            ValueError: If one is unknown, or no checkpoint would be kept.
        """
        known = [f.name for f in fields(cls)]
        if unknown := sorted(set(section) - set(known)):
            raise ValueError(f"unknown training settings {unknown}; known: {', '.join(known)}")
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in section.items()
        }
        running = cls(**values)
        if running.keep_checkpoints < 1:
            raise ValueError(f"keep_checkpoints={running.keep_checkpoints}: at least 1 is needed")
        return running
