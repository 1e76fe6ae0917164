"""Cropping and resizing of whole batches by matrix products, as Pillow's bilinear filter does."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def resize_weights(start: np.ndarray, length: np.ndarray, side: int, size: int) -> Tensor:
    """Return the weights that cut a piece out of each line and resize it.

    The filter is a triangle that widens where the piece shrinks (Pillow's antialiasing), and it
    does not look outside the piece.

    Args:
        start: (n,) first pixel of the piece.
        length: (n,) its pixels.
        side: Pixels of the whole line.
        size: Pixels wanted.

    Returns:
        (n, size, side) float32, rows that sum to 1.
    """
    begin, extent = (torch.from_numpy(x).float()[:, None] for x in (start, length))  # (n, 1)
    scale = extent / size
    centre = begin + (torch.arange(size) + 0.5) * scale  # (n, size)
    pixel = torch.arange(side) + 0.5
    distance = (pixel - centre[..., None]).abs_() / scale.clamp_min(1)[..., None]
    weights = (1 - distance).clamp_(min=0)  # (n, size, side)
    inside = (pixel > begin) & (pixel < begin + extent)  # (n, side)
    weights *= inside[:, None]
    return weights / weights.sum(-1, keepdim=True)


def crop_resize(images: Tensor, boxes: np.ndarray, size: int) -> Tensor:
    """Crop each picture and resize it to a square.

    Args:
        images: (n, 3, h, w) uint8.
        boxes: (n, 4): top, left, height, width.
        size: Side of the result in pixels.

    Returns:
        (n, 3, size, size) uint8.
    """
    top, left, h, w = boxes.T
    rows = resize_weights(top, h, images.shape[2], size)[:, None]  # (n, 1, size, h)
    columns = resize_weights(left, w, images.shape[3], size)[:, None]
    # Pillow goes along the lines first and rounds in between.
    x = (images.float() @ columns.mT).round_()  # (n, 3, h, size)
    return (rows @ x).round_().clamp_(0, 255).to(torch.uint8)
