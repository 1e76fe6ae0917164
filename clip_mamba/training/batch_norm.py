"""Batch normalisation over all processes, on any device.

torch's SyncBatchNorm is for GPUs only. This one gathers each process's mean and variance, with
gradient, and combines them: the same statistics as those of the global batch.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.distributed.nn  # noqa: F401 - differentiable collectives
from torch import Tensor, nn


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d with the statistics of all processes."""

    #: Off while a forward pass is computed again, which must not count twice.
    update_statistics = True

    def forward(self, x: Tensor) -> Tensor:
        """Normalise.

        Args:
            x: (n, channels, h, w).

        Returns:
            The same shape.
        """
        if not self.training:
            return super().forward(x)
        wide = x.float()
        mean, variance, count = self._statistics(wide)
        if self.update_statistics and self.running_mean is not None:
            self._remember(mean.detach(), variance.detach(), count)
        scale = torch.rsqrt(variance + self.eps)
        shift = -mean * scale
        if self.affine:
            scale, shift = scale * self.weight, shift * self.weight + self.bias
        return (wide * scale.view(-1, 1, 1) + shift.view(-1, 1, 1)).to(x.dtype)

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor, int]:
        """Return mean and variance per channel over all processes, and the numbers they are of."""
        variance, mean = torch.var_mean(x, (0, 2, 3), correction=0)
        count = x.numel() // x.shape[1]
        if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
            return mean, variance, count
        # Every process has as many pictures of the same size.
        gathered = torch.stack(dist.nn.all_gather(torch.stack([mean, variance])))
        means, variances = gathered.unbind(1)  # (processes, channels)
        mean = means.mean(0)
        variance = variances.mean(0) + (means - mean).square().mean(0)
        return mean, variance, count * len(means)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        assert self.running_mean is not None and self.running_var is not None
        self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        momentum = self.momentum if self.momentum is not None else 0.1
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance * count / max(count - 1, 1), momentum)


def convert(module: nn.Module) -> list[GlobalBatchNorm2d]:
    """Make every BatchNorm2d of a network global, in place; names and weights stay.

    Args:
        module: The network.

    Returns:
        The layers.
    """
    for child in module.modules():
        if type(child) is nn.BatchNorm2d:
            child.__class__ = GlobalBatchNorm2d
    return [layer for layer in module.modules() if isinstance(layer, GlobalBatchNorm2d)]
