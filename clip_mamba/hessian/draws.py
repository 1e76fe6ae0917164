"""Seeded random vectors, the same on every device and in every floating type."""

from __future__ import annotations

import torch
from torch import Tensor

from clip_mamba.seeding import integer


class Draws:
    """A stream of random vectors for one purpose."""

    def __init__(self, like: Tensor, size: int, seed: int, *purpose: str | int) -> None:
        """Seed the stream.

        Args:
            like: Gives type and device.
            size: Entries per vector.
            seed: The run's seed.
            *purpose: Words or numbers that name the consumer.
        """
        self._like, self._size = like, size
        # Drawn on the CPU, so that a GPU run uses the same probes.
        self._generator = torch.Generator().manual_seed(integer(seed, "hessian", *purpose))

    def signs(self) -> Tensor:
        """Return independent +1 and -1 with equal odds (Rademacher).

        Returns:
            (size,) vector.
        """
        bits = torch.randint(0, 2, (self._size,), generator=self._generator, dtype=torch.int8)
        return (2 * bits - 1).to(self._like.device, self._like.dtype)

    def normal(self) -> Tensor:
        """Return independent standard normal numbers.

        Returns:
            (size,) vector.
        """
        drawn = torch.randn(self._size, generator=self._generator, dtype=torch.float64)
        return drawn.to(self._like.device, self._like.dtype)
