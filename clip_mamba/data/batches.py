"""The batch of a step as a pure function of (seed, step), cut into a slice for each process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from clip_mamba.data.augment import COLOUR, draw_table
from clip_mamba.data.order import Order


class Batch(NamedTuple):
    """What one process gets for one step."""

    images: Tensor  #: (n, 3, size, size) uint8
    tokens: Tensor  #: (n, context) int64
    draws: np.ndarray  #: (n, 10) uniform, for the colours; stays on the CPU
    numbers: np.ndarray  #: (n,) which pairs
    replaced: int  #: how many of them could not be read


class Source(Protocol):
    """Where pairs come from."""

    @property
    def shard_sizes(self) -> Sequence[int]:
        """Number of pairs of each shard, in order."""

    def fetch(self, chosen: np.ndarray, draws: np.ndarray) -> tuple[Tensor, Tensor, int]:
        """Return pictures, token ids, and how many pairs others stood in for.

        Args:
            chosen: (n,) numbers of pairs.
            draws: (n, DRAWS) random numbers.
        """


@dataclass(frozen=True)
class Plan:
    """Who sees which pair when."""

    order: Order
    batch_size: int  #: pairs of the global batch
    epochs: float
    seed: int

    def __post_init__(self) -> None:
        """Refuse a corpus that has no whole batch.

        Raises:
            ValueError: If it is smaller than a batch.
        """
        if len(self.order) < self.batch_size:
            raise ValueError(
                f"the corpus has {len(self.order)} pairs, fewer than one batch of "
                f"{self.batch_size}: lower the recipe's batch_size"
            )

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in the corpus; the pairs left over differ from epoch to epoch."""
        return len(self.order) // self.batch_size

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return max(1, round(self.epochs * self.steps_per_epoch))

    def numbers(self, step: int, rank: int = 0, world_size: int = 1) -> np.ndarray:
        """Return the pairs of a step that one process sees.

        Args:
            step: The step, from 0.
            rank: The process.
            world_size: Number of processes.

        Returns:
            (batch_size / world_size,) numbers.
        """
        epoch, within = divmod(step, self.steps_per_epoch)
        mine = self.slice(rank, world_size)
        start = within * self.batch_size
        return self.order.take(epoch, start + mine.start, start + mine.stop)

    def slice(self, rank: int, world_size: int) -> slice:
        """Return the places of the global batch that one process has.

        Args:
            rank: The process.
            world_size: Number of processes.

        Returns:
            A slice of [0, batch_size).

        Raises:
            ValueError: If the batch cannot be shared out evenly.
        """
        share, rest = divmod(self.batch_size, world_size)
        if rest:
            raise ValueError(
                f"a batch of {self.batch_size} pairs cannot be shared evenly by {world_size} "
                "processes: change the recipe's batch_size or the number of processes"
            )
        return slice(rank * share, (rank + 1) * share)


class Batches(Dataset[Batch]):
    """The batches of one process, by step."""

    def __init__(self, plan: Plan, source: Source, rank: int = 0, world_size: int = 1) -> None:
        """Keep the parts.

        Args:
            plan: Who sees which pair when.
            source: Where pairs come from.
            rank: The process.
            world_size: Number of processes.
        """
        self.plan, self.source, self.rank, self.world_size = plan, source, rank, world_size
        plan.slice(rank, world_size)

    def __getitem__(self, step: int) -> Batch:
        """Make the batch of a step.

        Args:
            step: The step, from 0.

        Returns:
            This process's share.
        """
        plan = self.plan
        mine = plan.slice(self.rank, self.world_size)
        numbers = plan.numbers(step, self.rank, self.world_size)
        draws = draw_table(plan.seed, step, plan.batch_size)[mine]
        images, tokens, replaced = self.source.fetch(numbers, draws)
        return Batch(images, tokens, draws[:, COLOUR], numbers, replaced)


class Steps(Sampler[int]):
    """The steps that are left; its length is that of the whole run, as Lightning counts it."""

    def __init__(self, first: int, steps: int) -> None:
        """Set the range.

        Args:
            first: The first step that is left.
            steps: Steps of the whole run.
        """
        self.first, self.steps = first, steps

    def __iter__(self) -> Iterator[int]:
        """Yield the steps that are left.

        Yields:
            Numbers of steps.
        """
        yield from range(self.first, self.steps)

    def __len__(self) -> int:
        """Return the number of steps of the whole run."""
        return self.steps


def _unchanged(batch: Any) -> Any:
    return batch


def make_loader(batches: Batches, first: int, workers: int, pin_memory: bool) -> DataLoader[Batch]:
    """Return a loader that goes on from a step.

    Args:
        batches: The batches of this process.
        first: The first step that is left.
        workers: Processes that make batches ahead; each makes whole batches in turn. With none,
            the training process makes them.
        pin_memory: Copy to page-locked memory, for a GPU.

    Returns:
        The loader.
    """
    return DataLoader(
        batches,
        batch_size=None,
        sampler=Steps(first, batches.plan.steps),
        collate_fn=_unchanged,
        num_workers=workers,
        prefetch_factor=2 if workers else None,
        pin_memory=pin_memory,
    )
