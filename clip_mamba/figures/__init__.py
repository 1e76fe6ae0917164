"""From tables and results to figures, all in the one style of :mod:`clip_mamba.style`.

Each function returns a matplotlib figure; :func:`write` stores it as PDF and PNG. Where nothing
was measured the figure says so, and the workflow goes on.
"""

from clip_mamba.figures.against_published import reproduction
from clip_mamba.figures.behaviour import consistency, ood_difference, shape_bias
from clip_mamba.figures.curvature import hessian_densities, hessian_spectra
from clip_mamba.figures.landscape import (
    hessian_blocks,
    hessian_size,
    hessian_surfaces,
    hessian_sweep,
)
from clip_mamba.figures.pretraining import corpus_sheet, loss_curves
from clip_mamba.figures.robustness import ood_condition, ood_curves, ood_summary
from clip_mamba.figures.save import write
from clip_mamba.figures.stimuli import stimuli
from clip_mamba.figures.zero_shot import accuracy, efficiency, zeroshot_difference

__all__ = [
    "accuracy",
    "consistency",
    "corpus_sheet",
    "efficiency",
    "hessian_blocks",
    "hessian_densities",
    "hessian_size",
    "hessian_spectra",
    "hessian_surfaces",
    "hessian_sweep",
    "loss_curves",
    "ood_condition",
    "ood_curves",
    "ood_difference",
    "ood_summary",
    "shape_bias",
    "reproduction",
    "stimuli",
    "write",
    "zeroshot_difference",
]
