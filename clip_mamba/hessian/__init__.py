"""Hessian analysis of a trained model: spectrum, trace, density, surface, and their checks."""

from clip_mamba.hessian.blocks import block_parameters, blocks
from clip_mamba.hessian.clip_loss import ClipLoss, exact_derivatives
from clip_mamba.hessian.contrastive import ContrastiveOperator, hessian_of
from clip_mamba.hessian.findings import Settings
from clip_mamba.hessian.hutchinson import Trace, trace
from clip_mamba.hessian.measure import check_model, measure
from clip_mamba.hessian.operator import HessianOperator
from clip_mamba.hessian.quadrature import (
    Density,
    density,
    density_curve,
    effective_rank,
    negative_fraction,
    negative_mass,
)
from clip_mamba.hessian.report import HessianReport
from clip_mamba.hessian.second_derivative import ProbeErrors, SecondDerivativeError, probe
from clip_mamba.hessian.spectrum import Spectrum, max_eigenvalue_spectrum
from clip_mamba.hessian.surface import filter_normalised, loss_surface

__all__ = [
    "ClipLoss",
    "ContrastiveOperator",
    "Density",
    "HessianOperator",
    "HessianReport",
    "ProbeErrors",
    "SecondDerivativeError",
    "Settings",
    "Spectrum",
    "Trace",
    "block_parameters",
    "blocks",
    "check_model",
    "density",
    "density_curve",
    "effective_rank",
    "exact_derivatives",
    "filter_normalised",
    "hessian_of",
    "loss_surface",
    "max_eigenvalue_spectrum",
    "measure",
    "negative_fraction",
    "negative_mass",
    "probe",
    "trace",
]
