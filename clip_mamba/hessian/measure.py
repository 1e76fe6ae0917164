"""The whole analysis of one CLIP model: probe, spectrum, trace and density together."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from clip_mamba.hessian.blocks import block_parameters
from clip_mamba.hessian.clip_loss import ClipLoss, Pairs, decayed_parameters
from clip_mamba.hessian.draws import Draws
from clip_mamba.hessian.hutchinson import Trace, trace_samples
from clip_mamba.hessian.lanczos import Quadrature, Ritz, factorise
from clip_mamba.hessian.operator import HessianOperator, LossFunction
from clip_mamba.hessian.quadrature import Density
from clip_mamba.hessian.report import HessianReport
from clip_mamba.hessian.second_derivative import SecondDerivativeError, probe, relative_errors
from clip_mamba.hessian.spectrum import gather

#: Bound on ||Hv in the measured type - Hv in float64|| / ||Hv in float64||.
PRECISION_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Settings:
    """How to measure. The defaults are those of the demo.

    Attributes:
        k: Eigenvalues at each end of the spectrum.
        steps: Lanczos steps of the density (quadrature nodes).
        max_products: Most Hessian-vector products per mini-batch for density and spectrum.
        probes: Products per mini-batch for the trace, beyond the Krylov space.
        tolerance: Relative residual at which an eigenpair counts as converged.
        basis: Most vectors held at once; ``None`` for ``max_products``. Memory is about
            (basis + 1) * parameters * 4 bytes besides the gradient graph of one mini-batch.
        l2: Coefficient of the L2 term, reported as a shift of each eigenvalue.
        decay: Which parameters the L2 term covers, see :class:`clip_mamba.recipe.Recipe`.
        block: Parameters to differentiate by, see :func:`clip_mamba.hessian.blocks.blocks`.
        probe_pairs: Pairs of the first batch used by the second-derivative probe.
        seed: Seed of start vectors and probes.
    """

    k: int = 5
    steps: int = 32
    max_products: int = 48
    probes: int = 3
    tolerance: float = 2e-2
    basis: int | None = None
    l2: float = 0.0
    decay: Literal["report", "mamba"] = "report"
    block: str = "all"
    probe_pairs: int = 4
    seed: int = 0


@dataclass(frozen=True)
class _BatchFindings:
    ritz: Ritz
    rule: Quadrature
    samples: np.ndarray
    l2_shifts: np.ndarray
    products: int
    loss: float
    gradient_norm: float


def measure(
    model: nn.Module,
    batches: Sequence[Pairs],
    settings: Settings | None = None,
    *,
    device: str | torch.device = "cpu",
    progress: bool = True,
) -> HessianReport:
    """Measure the Hessian of CLIP's loss on each mini-batch.

    Works on a float32 copy of the model in evaluation mode. Per mini-batch one Lanczos
    factorisation with full re-orthogonalisation gives the density (its first ``steps``), both
    ends of the spectrum (all of it) and the large part of the trace, whose rest is sampled.

    The Hessian is that of the loss *without* its L2 term (see :mod:`.clip_loss`). Weight decay
    in AdamW is decoupled, so it is no part of the loss that was trained; and a term l2/2 ||w||^2
    shifts the whole spectrum by l2, which would swamp trace, effective rank and negative mass.
    What it adds to each reported eigenvalue, l2 * y' D y for eigenvector y and the mask D of
    decayed parameters, is returned beside it (first-order perturbation; the exact eigenvalues
    lie between lambda and lambda + l2 by Weyl's inequality).

    Args:
        model: A CLIP model (``encode_image``, ``encode_text``, ``logit_scale``).
        batches: Pairs of images (b, 3, h, w), normalised as in training, and token ids (b, n).
            Use the same for every model to be compared.
        settings: How to measure.
        device: Where to compute.
        progress: Show a progress bar.

    Returns:
        All measurements.

    Raises:
        ValueError: If the batches are empty or differ in size.
    """
    settings = settings or Settings()
    began = time.perf_counter()
    if len({len(images) for images, _ in batches}) != 1:
        raise ValueError("batches must be at least one, all with the same number of pairs")
    twin = _measurable_copy(model, torch.float32, device)
    placed = [(images.to(device, torch.float32), ids.to(device)) for images, ids in batches]
    probes = check_model(model, placed[0], settings, device=device)
    if progress:
        _print_probes(probes)
    findings = _measure_batches(twin, placed, settings, progress)
    size = sum(p.numel() for p in block_parameters(twin, settings.block))
    spectrum = gather(
        [f.ritz for f in findings], [f.products for f in findings], settings.tolerance, []
    )
    return HessianReport(
        spectrum=spectrum,
        trace=Trace(*np.stack([f.samples for f in findings], axis=1)),
        density=Density.from_rules([[f.rule] for f in findings], size),
        l2_shifts=np.stack([f.l2_shifts for f in findings]),
        l2_trace=settings.l2 * float(_decay_mask(twin, settings).sum()),
        losses=np.asarray([f.loss for f in findings]),
        gradient_norms=np.asarray([f.gradient_norm for f in findings]),
        probes=probes,
        settings={**vars(settings), "batch_size": len(batches[0][0]), "batches": len(batches)},
        parameters=size,
        seconds=time.perf_counter() - began,
        device=str(device),
    )


def check_model(
    model: nn.Module, batch: Pairs, settings: Settings, *, device: str | torch.device = "cpu"
) -> dict[str, Any]:
    """Probe the model's second derivative on a slice of a batch, in float64 and as measured.

    Args:
        model: A CLIP model; not changed.
        batch: Images and token ids on ``device``.
        settings: Gives the block, the slice and the seed.
        device: Where to compute.

    Returns:
        The errors, for the result file.

    Raises:
        SecondDerivativeError: If an error exceeds its tolerance.
    """
    images, ids = (part[: settings.probe_pairs] for part in batch)
    exact, used = (_measurable_copy(model, t, device) for t in (torch.float64, torch.float32))
    params = block_parameters(exact, settings.block)
    names = _names(exact, params)
    fine, coarse = (images.double(), ids), (images.float(), ids)
    errors = probe(ClipLoss(exact), params, fine, names=names, seed=settings.seed)
    # Kernels may differ by type, so the one that is measured with is compared as well.
    expected = _random_product(exact, fine, settings)
    got = _random_product(used, coarse, settings).double()
    precision, worst, index = relative_errors(got, expected, params)
    if not precision <= PRECISION_TOLERANCE:
        raise SecondDerivativeError(
            f"a Hessian-vector product in float32 differs from float64 by {precision:.1e} "
            f"(worst tensor {names[index]}: {worst:.1e}; allowed {PRECISION_TOLERANCE:.0e}), so "
            "nothing was measured: the float32 kernels' second derivative is wrong or the loss "
            "is too ill-conditioned for float32."
        )
    return {
        **errors.details(),
        "precision": precision,
        "precision_tolerance": PRECISION_TOLERANCE,
        "pairs": len(images),
    }


def _random_product(model: nn.Module, batch: Pairs, settings: Settings) -> Tensor:
    params = block_parameters(model, settings.block)
    with HessianOperator(ClipLoss(model), params, batch) as operator:
        draws = Draws(params[0], operator.size, settings.seed, "probe", "precision")
        return operator.matvec(draws.normal())


def _measure_batches(
    model: nn.Module, batches: Sequence[Pairs], settings: Settings, progress: bool
) -> list[_BatchFindings]:
    params = block_parameters(model, settings.block)
    loss_fn, mask = ClipLoss(model), _decay_mask(model, settings)
    each = settings.max_products + settings.probes
    found = []
    total = each * len(batches)
    with tqdm(total=total, desc="Hessian", unit="HVP", mininterval=2, disable=not progress) as bar:
        for i, batch in enumerate(batches):
            found.append(_measure_batch(loss_fn, params, batch, mask, settings, i, bar.update))
            bar.update((i + 1) * each - bar.n)
    return found


def _measure_batch(
    loss_fn: LossFunction,
    params: Sequence[Tensor],
    batch: Pairs,
    mask: Tensor,
    settings: Settings,
    index: int,
    tick: Callable[[int], object],
) -> _BatchFindings:
    with HessianOperator(loss_fn, params, batch) as operator:

        def matvec(v: Tensor) -> Tensor:
            tick(1)
            return operator.matvec(v)

        draws = Draws(params[0], operator.size, settings.seed, "start", index)
        result = factorise(
            matvec,
            draws.signs(),
            k=settings.k,
            steps=settings.steps,
            max_products=settings.max_products,
            tolerance=settings.tolerance,
            draw=draws.normal,
            capacity=settings.basis,
        )
        probes = Draws(params[0], operator.size, settings.seed, "trace", index)
        samples = trace_samples(matvec, settings.probes, probes, result.krylov)
        vectors = torch.cat(result.krylov.vectors(settings.k))
        return _BatchFindings(
            ritz=result.krylov.ritz(settings.k),
            rule=result.rule,
            samples=samples,
            l2_shifts=settings.l2 * (vectors.square() @ mask).cpu().double().numpy(),
            products=operator.products,
            loss=operator.loss,
            gradient_norm=float(operator.gradient.norm()),
        )


def _measurable_copy(model: nn.Module, dtype: torch.dtype, device: str | torch.device) -> nn.Module:
    """Return a copy in evaluation mode, without checkpointing, with every parameter free."""
    twin = copy.deepcopy(model).to(device=device, dtype=dtype).eval()
    switch = getattr(twin, "set_grad_checkpointing", None)
    if callable(switch):
        switch(False)
    return twin.requires_grad_(True)


def _decay_mask(model: nn.Module, settings: Settings) -> Tensor:
    decayed = {id(p) for p in decayed_parameters(model, settings.decay)}
    return torch.cat([
        torch.full_like(p, float(id(p) in decayed), requires_grad=False).reshape(-1)
        for p in block_parameters(model, settings.block)
    ])


def _names(model: nn.Module, params: Sequence[Tensor]) -> list[str]:
    known = {id(p): name for name, p in model.named_parameters()}
    return [known[id(p)] for p in params]


def _print_probes(errors: dict[str, Any]) -> None:
    tqdm.write(
        f"second derivative: {errors['worst_difference']:.1e} from central differences "
        f"(allowed {errors['tolerance']:.0e}), symmetric to {errors['symmetry']:.1e} (allowed "
        f"{errors['symmetry_tolerance']:.0e}), float32 within {errors['precision']:.1e} of float64"
    )
