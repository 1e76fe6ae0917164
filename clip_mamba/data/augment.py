"""The training augmentation of the report, scaled by the recipe.

The random numbers of a step are one table, a row for each place in the global batch
(:func:`draw_table`): what a pair looks like depends on the seed, the step and its place, not on how
many processes share the batch. The crop is made where the picture is decoded; the colours change in
whole batches, on the device that trains (:mod:`clip_mamba.data.colour`).
"""

from dataclasses import dataclass

import numpy as np
from torch import nn
from torchvision.transforms import v2

from clip_mamba.data.colour import Recolour
from clip_mamba.data.normalize import Normalize
from clip_mamba.seeding import generator

__all__ = ["ATTEMPTS", "COLOUR", "CROP", "DRAWS", "Augmentation", "Normalize", "draw_table"]

#: Tries to find a crop that fits, as torchvision has it.
ATTEMPTS = 10
#: Columns of the table: which caption, the crop (area and shape of each try, place), the colours.
CAPTION = 0
CROP = slice(1, 1 + 2 * ATTEMPTS + 2)
COLOUR = slice(CROP.stop, CROP.stop + 10)
DRAWS = COLOUR.stop
#: Shapes of a crop, width over height.
RATIOS = (3 / 4, 4 / 3)


def draw_table(seed: int, step: int, batch_size: int) -> np.ndarray:
    """Return the random numbers of a step.

    Args:
        seed: The run's seed.
        step: The step.
        batch_size: Pairs of the global batch.

    Returns:
        (batch_size, DRAWS) uniform in [0, 1).
    """
    return generator(seed, "draws", step).random((batch_size, DRAWS))


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

    def boxes(self, draws: np.ndarray, heights: np.ndarray, widths: np.ndarray) -> np.ndarray:
        """Return random crops, distributed as those of torchvision's ``RandomResizedCrop``.

        Args:
            draws: (n, DRAWS) of :func:`draw_table`.
            heights: (n,) of the pictures, in pixels.
            widths: (n,) likewise.

        Returns:
            (n, 4) int64: top, left, height and width.
        """
        crop = draws[:, CROP]
        heights, widths = (np.asarray(side, np.int64)[:, None] for side in (heights, widths))
        area = heights * widths * (self.min_scale + (1 - self.min_scale) * crop[:, :ATTEMPTS])
        low, high = np.log(RATIOS)
        ratio = np.exp(low + (high - low) * crop[:, ATTEMPTS : 2 * ATTEMPTS])
        w = np.rint(np.sqrt(area * ratio)).astype(np.int64)  # (n, ATTEMPTS)
        h = np.rint(np.sqrt(area / ratio)).astype(np.int64)
        fits = (w > 0) & (w <= widths) & (h > 0) & (h <= heights)
        rows, first = np.arange(len(crop)), fits.argmax(1)
        found, h, w = fits.any(1), h[rows, first], w[rows, first]
        heights, widths = heights[:, 0], widths[:, 0]
        # No try fits a very long picture: the largest allowed crop from its centre.
        h = np.where(found, h, np.clip(np.rint(widths / RATIOS[0]), 1, heights)).astype(np.int64)
        w = np.where(found, w, np.clip(np.rint(heights * RATIOS[1]), 1, widths)).astype(np.int64)
        place = np.where(found[:, None], crop[:, -2:], 0.5)
        top = np.floor(place[:, 0] * (heights - h + 1)).astype(np.int64)
        left = np.floor(place[:, 1] * (widths - w + 1)).astype(np.int64)
        return np.stack([top, left, h, w], axis=1)

    def recolour(self, image_size: int) -> Recolour:
        """Return the colour part, for whole batches.

        Args:
            image_size: Side of the pictures in pixels; the blur's reach grows with it.

        Returns:
            A module: (n, 3, h, w) uint8 and (n, 10) draws -> (n, 3, h, w) float32 in [0, 255].
        """
        return Recolour(
            jitter=self.jitter,
            jitter_probability=self.jitter_probability,
            grayscale_probability=self.grayscale_probability,
            blur_probability=self.blur_probability,
            solarize_probability=self.solarize_probability,
            kernel=blur_kernel(image_size),
        )

    def transform(self, image_size: int) -> nn.Module:
        """Return the same augmentation of one PIL image, with torchvision's own randomness.

        Args:
            image_size: Side of the square output in pixels.

        Returns:
            A module: PIL image -> (3, image_size, image_size) uint8 tensor.
        """
        blur = v2.GaussianBlur(blur_kernel(image_size), (0.1, 2.0))
        return v2.Compose([
            v2.RandomResizedCrop(image_size, scale=(self.min_scale, 1.0), ratio=RATIOS),
            v2.RandomApply([v2.ColorJitter(*self.jitter)], p=self.jitter_probability),
            v2.RandomGrayscale(self.grayscale_probability),
            v2.RandomApply([blur], p=self.blur_probability),
            v2.RandomSolarize(128, self.solarize_probability),
            v2.PILToTensor(),
        ])


def blur_kernel(image_size: int) -> int:
    """Return the blur's reach.

    Args:
        image_size: Side of the pictures in pixels.

    Returns:
        Width of the kernel in pixels, odd.
    """
    return max(3, image_size // 10 // 2 * 2 + 1)
