"""Stochastic depth whose decisions come from a table, a column for each place in the batch.

timm's layer draws from torch's global generator, so that what is dropped depends on how a batch is
split. Here a step draws once for the global batch; a process takes its columns, a micro-batch its
part of them, and a block that is computed a second time (gradient checkpointing) decides as before.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from clip_mamba.models.layers import drop_path_rates
from clip_mamba.seeding import generator

#: The residual branches of a block, as timm and this project name them.
BRANCHES = ("drop_path1", "drop_path2")


class TableDropPath(nn.Module):
    """Leave out a residual branch for some pictures, and scale it up for the others."""

    scale: Tensor | None = None  # (n,): 0 or 1 / (1 - rate)

    def __init__(self, rate: float) -> None:
        """Set the rate.

        Args:
            rate: Share of pictures that lose the branch.
        """
        super().__init__()
        self.drop_prob = rate

    def forward(self, x: Tensor) -> Tensor:
        """Apply the decisions in training; do nothing otherwise.

        Args:
            x: The branch, (n, ...).

        Returns:
            The same shape.
        """
        if not self.training or self.scale is None:
            return x
        return x * self.scale.to(x.dtype).view(-1, *[1] * (x.ndim - 1))

    def extra_repr(self) -> str:
        """Show the rate.

        Returns:
            Text for ``repr``.
        """
        return f"drop_prob={self.drop_prob:.3f}"


class DropPaths:
    """All stochastic depth of a network."""

    def __init__(self, network: nn.Module, rate: float | None) -> None:
        """Replace the network's own layers.

        Args:
            network: An image tower whose blocks have ``drop_path1`` and ``drop_path2``.
            rate: Rate of the last block, earlier ones grow linearly; None keeps the network's.

        Raises:
            ValueError: If a rate is asked of a network without such blocks.
        """
        blocks = [m for m in network.modules() if all(hasattr(m, name) for name in BRANCHES)]
        if rate and not blocks:
            raise ValueError(f"drop_path={rate}, but the network has no residual blocks to drop")
        rates = drop_path_rates(rate, len(blocks)) if rate is not None else [None] * len(blocks)
        self.layers: list[TableDropPath] = []
        for block, own in zip(blocks, rates, strict=True):
            for name in BRANCHES:
                found = getattr(getattr(block, name), "drop_prob", 0.0)
                if probability := found if own is None else own:
                    setattr(block, name, TableDropPath(probability))
                    self.layers.append(getattr(block, name))
                else:
                    setattr(block, name, nn.Identity())

    def draw(self, seed: int, step: int, batch_size: int, mine: slice) -> Tensor:
        """Decide for one step.

        Args:
            seed: The run's seed.
            step: The step.
            batch_size: Pairs of the global batch.
            mine: This process's places in it.

        Returns:
            (layers, n) float32: 0, or what keeps the mean.
        """
        rates = np.array([layer.drop_prob for layer in self.layers])[:, None]
        uniform = generator(seed, "drop path", step).random((len(rates), batch_size))[:, mine]
        return torch.from_numpy((uniform >= rates) / (1 - rates)).float()

    def use(self, table: Tensor) -> None:
        """Set the decisions for what is computed next.

        Args:
            table: (layers, n), of :meth:`draw`.
        """
        for layer, scale in zip(self.layers, table, strict=True):
            layer.scale = scale
