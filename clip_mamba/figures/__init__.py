"""From tables and results to figures, all in the one style of :mod:`clip_mamba.style`.

Each function returns a matplotlib figure; :func:`write` stores it as PDF and PNG. Where nothing
was measured the figure says so, and the workflow goes on.
"""

from clip_mamba.figures.curvature import hessian_densities, hessian_spectra
from clip_mamba.figures.pretraining import corpus_sheet, loss_curves
from clip_mamba.figures.robustness import consistency, ood_curves, ood_summary
from clip_mamba.figures.save import write
from clip_mamba.figures.zero_shot import accuracy

__all__ = [
    "accuracy",
    "consistency",
    "corpus_sheet",
    "hessian_densities",
    "hessian_spectra",
    "loss_curves",
    "ood_curves",
    "ood_summary",
    "write",
]
