"""The order in which a corpus is seen: a function of (seed, epoch) and of nothing else.

An epoch permutes the shards and shuffles the pairs within blocks of neighbouring shards, so that
a disk or a network file system reads few files at a time. It is one sequence for the whole run:
step s of a run with B pairs a step takes its entries s * B to (s + 1) * B, each process a slice of
them. Hence no pair is seen by two processes, no pair is seen twice in an epoch, all processes
take the same number of steps, and a resumed run needs to know nothing but its step.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from clip_mamba.seeding import generator

#: Shards that are shuffled together.
BLOCK = 64


class Order:
    """Numbers of pairs by place in an epoch."""

    def __init__(self, shard_sizes: Sequence[int], seed: int, block: int = BLOCK) -> None:
        """Keep the sizes.

        Args:
            shard_sizes: Pairs of each shard.
            seed: The run's seed.
            block: Shards that are shuffled together.
        """
        self.sizes, self.seed, self.block = np.asarray(shard_sizes), seed, block
        self.first = np.concatenate([[0], np.cumsum(self.sizes)])  # of each shard
        self._blocks = lru_cache(maxsize=2)(self._make_blocks)
        self._shuffled = lru_cache(maxsize=4)(self._shuffle)

    def __len__(self) -> int:
        """Return the number of pairs of an epoch."""
        return int(self.first[-1])

    def take(self, epoch: int, start: int, stop: int) -> np.ndarray:
        """Return a part of an epoch.

        Args:
            epoch: Number of the epoch, from 0.
            start: First place.
            stop: Place behind the last.

        Returns:
            (stop - start,) numbers of pairs.
        """
        _, ends = self._blocks(epoch)
        parts = []
        while start < stop:
            number = int(np.searchsorted(ends, start, side="right"))
            begin = 0 if number == 0 else int(ends[number - 1])
            end = min(stop, int(ends[number]))
            parts.append(self._shuffled(epoch, number)[start - begin : end - begin])
            start = end
        return np.concatenate(parts)

    def _make_blocks(self, epoch: int) -> tuple[list[np.ndarray], np.ndarray]:
        """Return the shards of each block, and the place in the epoch where each block ends."""
        shards = np.arange(len(self.sizes))
        if len(shards) > self.block:
            shards = generator(self.seed, "shards", epoch).permutation(len(shards))
        blocks = [shards[i : i + self.block] for i in range(0, len(shards), self.block)]
        return blocks, np.cumsum([self.sizes[block].sum() for block in blocks])

    def _shuffle(self, epoch: int, number: int) -> np.ndarray:
        block = self._blocks(epoch)[0][number]
        purpose = ("order", epoch) if len(self.sizes) <= self.block else ("order", epoch, number)
        pairs = np.concatenate([np.arange(self.first[s], self.first[s + 1]) for s in block])
        return pairs[generator(self.seed, *purpose).permutation(len(pairs))]
