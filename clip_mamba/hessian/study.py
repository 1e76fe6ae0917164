"""Side questions about one model: batch size, blocks of parameters, and the surface itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clip_mamba.hessian.blocks import block_parameters, blocks
from clip_mamba.hessian.clip_loss import ClipLoss, Pairs
from clip_mamba.hessian.findings import Settings
from clip_mamba.hessian.measure import ENDS, Bench, quick, summarise
from clip_mamba.hessian.report import HessianReport
from clip_mamba.hessian.surface import filter_normalised, loss_surface

#: By how much the quadratic model rises at the end of a line along the top eigenvector, in nats.
RISE = 1.0

Summary = dict[str, Any]


def by_batch_size(
    bench: Bench,
    cut: Callable[[int], Sequence[Pairs]],
    sizes: Sequence[int],
    settings: Settings,
) -> list[Summary]:
    """Measure how curvature depends on the number of pairs in the contrastive loss.

    Args:
        bench: The model.
        cut: Cuts the same pairs into mini-batches of a size.
        sizes: Batch sizes.
        settings: Of the main measurement.

    Returns:
        A summary of each size, see :meth:`HessianReport.summary`.
    """
    return [_measured(bench, f"size-{size}", cut(size), quick(settings)) for size in sizes]


def by_block(bench: Bench, batches: Sequence[Pairs], settings: Settings) -> dict[str, Summary]:
    """Measure the Hessian restricted to each block of parameters, the others held fixed.

    Args:
        bench: The model.
        batches: Mini-batches.
        settings: Of the main measurement.

    Returns:
        A summary of each block that the model has, without ``all``.
    """
    found = {}
    for name in blocks(bench.model):
        if name != "all":
            chosen = quick(settings, block=name)
            found[name] = _measured(bench, f"block-{name}", batches, chosen)
    return found


def _measured(bench: Bench, name: str, batches: Sequence[Pairs], settings: Settings) -> Summary:
    size = sum(p.numel() for p in block_parameters(bench.model, settings.block))
    given = {**vars(settings), "batch_size": len(batches[0][0]), "batches": len(batches)}
    report: HessianReport = summarise(bench.findings(name, batches, settings), given, size=size)
    return report.summary()


def surfaces(
    bench: Bench, batch: Pairs, top: float, settings: Settings, *, line: int, plane: int
) -> dict[str, Summary]:
    """Walk over the loss of one mini-batch, along random directions and along eigenvectors.

    The two random directions are filter-normalised (Li et al. 2018) and walked from -1 to 1. The
    eigenvectors of the largest and of the most negative eigenvalue of this mini-batch's Hessian
    have length one; both are walked as far as the quadratic model of the larger one rises by
    ``RISE``, so that a figure shows where the quadratic model ends.

    Args:
        bench: The model; the mini-batch must be the first of its main measurement.
        batch: Images and token ids.
        top: The largest eigenvalue.
        settings: Gives the seed of the random directions.
        line: Points of a curve.
        plane: Points of a side of a plane.

    Returns:
        ``random`` and ``eigenvectors``: steps and losses of a line along each direction and of the
        plane of both.
    """
    params = block_parameters(bench.model, "all")
    radius = float(np.sqrt(2 * RISE / max(top, 1e-12)))
    chosen: dict[str, tuple[float, Callable[[], list[Tensor]]]] = {
        "random": (
            1.0,
            lambda: [filter_normalised(params, settings.seed, i) for i in (0, 1)],
        ),
        "eigenvectors": (
            radius,
            lambda: list(bench.parts.load_tensor(ENDS).to(bench.device)),
        ),
    }
    found = {}
    for name, (reach, directions) in chosen.items():
        found[name] = bench.parts(
            f"surface-{name}",
            lambda reach=reach, directions=directions: _walk(  # type: ignore[misc]
                bench, batch, directions(), reach, line, plane
            ),
        )
    return found


def _walk(
    bench: Bench,
    batch: Pairs,
    directions: Sequence[Tensor],
    reach: float,
    line: int,
    plane: int,
) -> Summary:
    began = time.perf_counter()
    params, loss = block_parameters(bench.model, "all"), ClipLoss(bench.model)
    steps, coarse = np.linspace(-reach, reach, line), np.linspace(-reach, reach, plane)
    placed = [bench.place(batch)]

    def losses(along: Sequence[Tensor], grid: np.ndarray) -> Any:
        surface = loss_surface(loss, params, placed, along, grid, progress=bench.progress)
        return surface.tolist()

    return {
        "steps": steps.tolist(),
        "lines": [losses([direction], steps) for direction in directions],
        "plane_steps": coarse.tolist(),
        "plane": losses(directions, coarse),
        "weight_norm": float(torch.cat([p.detach().reshape(-1) for p in params]).norm()),
        "seconds": time.perf_counter() - began,
    }
