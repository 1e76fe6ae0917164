"""Colour jitter, greyscale, blur and solarisation of whole batches, on any device.

The operations and their order are those of torchvision's ``ColorJitter``, ``RandomGrayscale``,
``GaussianBlur`` and ``RandomSolarize``. Each acts on just the rows that were drawn for it; what was
drawn stays on the CPU, so that a GPU never waits to learn which rows these are.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np
import torch
from torch import Tensor, nn

#: Weights of red, green and blue in the lightness (ITU-R 601-2).
GREY = (0.2989, 0.587, 0.114)
ORDERS = np.array(list(permutations(range(4))))  # of the four parts of the jitter
SIGMA = (0.1, 2.0)
#: Columns of the draws.
JITTER, FACTORS, ORDER, GREYSCALE, BLUR, BLUR_SIGMA, SOLARISE = 0, slice(1, 5), 5, 6, 7, 8, 9


class Recolour(nn.Module):
    """Change the colours of a batch, each picture by its own draws."""

    def __init__(
        self,
        *,
        jitter: tuple[float, float, float, float],
        jitter_probability: float,
        grayscale_probability: float,
        blur_probability: float,
        solarize_probability: float,
        kernel: int,
    ) -> None:
        """Set the strengths.

        Args:
            jitter: Ranges of brightness, contrast, saturation and hue.
            jitter_probability: How often the colours are jittered.
            grayscale_probability: How often a picture is made grey.
            blur_probability: How often it is blurred.
            solarize_probability: How often it is solarised.
            kernel: Reach of the blur in pixels, odd.
        """
        super().__init__()
        self.jitter, self.kernel = np.array(jitter), kernel
        self.jitter_probability = jitter_probability
        self.grayscale_probability = grayscale_probability
        self.blur_probability = blur_probability
        self.solarize_probability = solarize_probability

    @torch.no_grad()
    def forward(self, images: Tensor, draws: np.ndarray) -> Tensor:
        """Change the colours.

        Args:
            images: (n, 3, h, w) uint8.
            draws: (n, 10) uniform in [0, 1), on the CPU.

        Returns:
            (n, 3, h, w) float32 in [0, 255], whole numbers.
        """
        with torch.autocast(images.device.type, enabled=False):
            x = images.float()
            self._jitter(x, draws)
            for probability, column, change in (
                (self.grayscale_probability, GREYSCALE, _grey3),
                (self.blur_probability, BLUR, self._blur),
                (self.solarize_probability, SOLARISE, _solarise),
            ):
                rows = np.flatnonzero(draws[:, column] < probability)
                if len(rows):
                    _change(x, rows, change, draws[rows, BLUR_SIGMA])
            return x

    def _jitter(self, x: Tensor, draws: np.ndarray) -> None:
        chosen = np.flatnonzero(draws[:, JITTER] < self.jitter_probability)
        spread = (2 * draws[:, FACTORS] - 1) * self.jitter  # (n, 4)
        factors = np.where([True, True, True, False], np.maximum(1 + spread, 0), spread)
        order = ORDERS[(draws[:, ORDER] * len(ORDERS)).astype(int)]  # (n, 4)
        for place in range(4):
            for part, change in enumerate((_brighten, _contrast, _saturate, _shift_hue)):
                rows = chosen[order[chosen, place] == part]
                if len(rows) and self.jitter[part]:
                    _change(x, rows, change, factors[rows, part])

    def _blur(self, x: Tensor, draws: Tensor) -> Tensor:
        sigma = SIGMA[0] + (SIGMA[1] - SIGMA[0]) * draws
        for side in (2, 3):
            weights = blur_matrix(x.shape[side], self.kernel, sigma)  # (r, side, side)
            x = weights[:, None] @ x if side == 2 else x @ weights[:, None].mT
        return x.round_()


def _change(x: Tensor, rows: np.ndarray, change, values: np.ndarray) -> None:  # type: ignore[no-untyped-def]
    where = torch.from_numpy(rows).to(x.device, non_blocking=True)
    factor = torch.from_numpy(values).to(x.device, torch.float32, non_blocking=True)
    x[where] = change(x[where], factor.view(-1, 1, 1, 1))


def grey(x: Tensor) -> Tensor:
    """Return the lightness, (n, 1, h, w), of (n, 3, h, w) in [0, 255].

    Args:
        x: Pictures.

    Returns:
        Whole numbers in [0, 255], as integer pictures have them.
    """
    r, g, b = x.unbind(1)
    return (GREY[0] * r + GREY[1] * g + GREY[2] * b).round_().unsqueeze(1)


def _blend(x: Tensor, other: Tensor | float, factor: Tensor) -> Tensor:
    return (factor * x + (1 - factor) * other).clamp_(0, 255).round_()


def _brighten(x: Tensor, factor: Tensor) -> Tensor:
    return _blend(x, 0.0, factor)


def _contrast(x: Tensor, factor: Tensor) -> Tensor:
    return _blend(x, grey(x).mean((1, 2, 3), keepdim=True).round_(), factor)


def _saturate(x: Tensor, factor: Tensor) -> Tensor:
    return _blend(x, grey(x), factor)


def _grey3(x: Tensor, _: Tensor) -> Tensor:
    return grey(x).expand_as(x)


def _solarise(x: Tensor, _: Tensor) -> Tensor:
    return torch.where(x >= 128, 255 - x, x)


def _shift_hue(x: Tensor, shift: Tensor) -> Tensor:
    # Turns the colour circle by shift in [-0.5, 0.5], (n, 1, 1, 1).
    high, low = x.amax(1, keepdim=True), x.amin(1, keepdim=True)
    span = high - low
    r, g, b = (x / span.clamp_min(1)).split(1, dim=1)  # differences in units of the span
    sector = torch.where(
        high == x[:, :1], g - b, torch.where(high == x[:, 1:2], b - r + 2, r - g + 4)
    )
    sector = torch.remainder(sector + 6 * shift, 6)  # (n, 1, h, w)
    # Each channel is the value minus the span times a trapezium of the sector.
    k = torch.remainder(sector + x.new_tensor([5, 3, 1]).view(1, 3, 1, 1), 6)
    return (high - span * torch.minimum(k, 4 - k).clamp_(0, 1)).round_()


def blur_matrix(side: int, kernel: int, sigma: Tensor) -> Tensor:
    """Return Gaussian blurs along one side as matrices, with mirrored edges.

    Args:
        side: Pixels along the side.
        kernel: Reach in pixels, odd.
        sigma: Standard deviations in pixels, r of them in any shape.

    Returns:
        (r, side, side): output pixel, input pixel.
    """
    taps = torch.arange(kernel, device=sigma.device) - kernel // 2
    weights = torch.exp(-0.5 * (taps / sigma.reshape(-1, 1)) ** 2)
    weights /= weights.sum(1, keepdim=True)  # (r, kernel)
    source = (torch.arange(side, device=sigma.device)[:, None] + taps).abs()  # (side, kernel)
    source = torch.where(source >= side, 2 * (side - 1) - source, source)
    matrix = weights.new_zeros(len(weights), side, side)
    return matrix.scatter_add_(
        2, source.expand(len(weights), -1, -1), weights[:, None].expand(-1, side, -1).contiguous()
    )
