"""The training augmentation of the report, scaled by the recipe."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.transforms import v2


@dataclass(frozen=True)
class Augmentation:
    """Strengths and probabilities; the defaults are the report's (reference recipe).

    Attributes:
        min_scale: Smallest share of the picture's area that a random crop keeps.
        jitter: Brightness, contrast, saturation and hue ranges of the colour jitter.
        jitter_probability: How often the colours are jittered.
        grayscale_probability: How often the picture is made grey.
        blur_probability: How often it is blurred, with sigma 0.1 to 2 pixels.
        solarize_probability: How often it is solarised.
    """

    min_scale: float = 0.5
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.2, 0.1)
    jitter_probability: float = 0.8
    grayscale_probability: float = 0.2
    blur_probability: float = 0.1
    solarize_probability: float = 0.2

    def transform(self, image_size: int) -> nn.Module:
        """Return the transform of one PIL image.

        Args:
            image_size: Side of the square output in pixels.

        Returns:
            A module: PIL image -> (3, image_size, image_size) uint8 tensor.
        """
        kernel = max(3, image_size // 10 // 2 * 2 + 1)
        return v2.Compose([
            v2.RandomResizedCrop(image_size, scale=(self.min_scale, 1.0)),
            v2.RandomApply([v2.ColorJitter(*self.jitter)], p=self.jitter_probability),
            v2.RandomGrayscale(self.grayscale_probability),
            v2.RandomApply([v2.GaussianBlur(kernel, (0.1, 2.0))], p=self.blur_probability),
            v2.RandomSolarize(128, self.solarize_probability),
            v2.PILToTensor(),
        ])


class Normalize(nn.Module):
    """Turn (n, 3, h, w) uint8 pictures into normalised floats, on the device they are on."""

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
            images: (n, 3, h, w) uint8.

        Returns:
            (n, 3, h, w) float32.
        """
        return (images.float() - self.mean) / self.std
