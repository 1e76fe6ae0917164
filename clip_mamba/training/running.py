"""Where and how a pretraining runs; none of it changes what is learnt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

_LEAST = {
    **dict.fromkeys(("nodes", "devices", "threads", "keep_checkpoints"), 1),
    **{"workers": 0, "checkpoint_seconds": 0, "checkpoint_steps": 1, "validation_steps": 1},
}


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
        validation_steps: Steps between two zero-shot validations; None for None.
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

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            ValueError: If a number is too small; names it.
        """
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name}={value}: at least {least} is needed")

    @classmethod
    def from_config(cls, section: Mapping[str, Any]) -> Running:
        """Build from a study's section ``training`` of ``config.yaml``.

        Args:
            section: Names and values.

        Returns:
            The settings.

        Raises:
            ValueError: If one is unknown, or makes no sense.
        """
        known = [f.name for f in fields(cls)]
        if unknown := sorted(set(section) - set(known)):
            raise ValueError(f"unknown training settings {unknown}; known: {', '.join(known)}")
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in section.items()
        }
        return cls(**values)
