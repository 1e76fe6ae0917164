"""The loss along lines and planes through the trained weights (Li et al. 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from clip_mamba.hessian.draws import Draws
from clip_mamba.hessian.operator import LossFunction, check_params


def filter_normalised(params: Sequence[Tensor], seed: int = 0, index: int = 0) -> Tensor:
    """Return a random direction whose every filter is as long as the weights' own filter.

    A filter is a row of a tensor of two or more dimensions; vectors and scalars (biases, norms)
    do not move, as in the authors' code, or scale invariance would make pictures incomparable.

    Args:
        params: Leaf tensors.
        seed: Seed of the direction.
        index: 0, 1, ... for different directions.

    Returns:
        (size,) direction.
    """
    size = sum(p.numel() for p in params)
    drawn = Draws(params[0], size, seed, "surface", index).normal()
    parts = []
    for part, p in zip(drawn.split([p.numel() for p in params]), params, strict=True):
        if p.ndim < 2:
            parts.append(torch.zeros_like(part))
            continue
        rows, own = part.view(len(p), -1), p.detach().reshape(len(p), -1)
        length = rows.norm(dim=1, keepdim=True).clamp_min(torch.finfo(p.dtype).tiny)
        parts.append((rows * (own.norm(dim=1, keepdim=True) / length)).reshape(-1))
    return torch.cat(parts)


def loss_surface(
    loss_fn: LossFunction,
    params: Sequence[Tensor],
    batches: Sequence[Any],
    directions: Sequence[Tensor],
    grid: np.ndarray,
    *,
    progress: bool = False,
) -> np.ndarray:
    """Return the mean loss over batches at each point of a grid along the directions.

    Args:
        loss_fn: Takes a batch, returns a scalar.
        params: Leaf tensors; moved meanwhile and put back exactly.
        batches: The mini-batches.
        directions: One direction for a curve, two for a plane; from :func:`filter_normalised` or
            eigenvectors (``keep_vectors=True``).
        grid: (points,) steps along each direction.
        progress: Show a progress bar.

    Returns:
        (points,) or (points, points) losses, first direction first.
    """
    check_params(params)
    shape = (len(grid),) * len(directions)
    saved = [p.detach().clone() for p in params]
    losses = np.empty(shape)
    bar = tqdm(np.ndindex(*shape), "loss surface", total=losses.size, disable=not progress)
    try:
        with torch.no_grad():
            for at in bar:
                _move(params, saved, directions, [float(grid[i]) for i in at])
                losses[at] = np.mean([float(loss_fn(batch)) for batch in batches])
    finally:
        with torch.no_grad():
            _move(params, saved, (), ())
    return losses


def _move(
    params: Sequence[Tensor],
    saved: Sequence[Tensor],
    directions: Sequence[Tensor],
    steps: Sequence[float],
) -> None:
    for p, origin in zip(params, saved, strict=True):
        p.copy_(origin)
    for direction, step in zip(directions, steps, strict=True):
        for p, part in zip(params, direction.split([p.numel() for p in params]), strict=True):
            p.add_(part.view_as(p), alpha=step)
