"""From pixels to what a model takes."""

import torch
from torch import Tensor, nn


class Normalize(nn.Module):
    """Turn (n, 3, h, w) pixels in [0, 255] into normalised floats, on the device they are on."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        """Keep the statistics as buffers that are not part of the state dict.

        Args:
            mean: Per channel, of pixels in [0, 1].
            std: Per channel, likewise.
        """
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1) * 255, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Normalise a batch.

        Args:
            images: (n, 3, h, w) uint8, or floats in [0, 255].

        Returns:
            (n, 3, h, w) float32.
        """
        return (images.float() - self.mean) / self.std
