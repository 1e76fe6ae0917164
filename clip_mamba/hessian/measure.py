"""The whole analysis of one CLIP model: probe, spectrum, trace and density together."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from clip_mamba.hessian.blocks import block_parameters, blocks
from clip_mamba.hessian.clip_loss import ClipLoss, Pairs, decayed_parameters
from clip_mamba.hessian.draws import Draws
from clip_mamba.hessian.findings import BatchFindings, Settings, measure_batch
from clip_mamba.hessian.hutchinson import Trace
from clip_mamba.hessian.operator import HessianOperator
from clip_mamba.hessian.parts import Parts, Piece
from clip_mamba.hessian.quadrature import Density
from clip_mamba.hessian.report import HessianReport
from clip_mamba.hessian.second_derivative import SecondDerivativeError, probe, relative_errors
from clip_mamba.hessian.spectrum import gather

#: Bound on ||Hv in the measured type - Hv in float64|| / ||Hv in float64||.
PRECISION_TOLERANCE = 1e-3

#: Names of pieces: the main mini-batches, and the first one's most and least curved directions.
MAIN, ENDS = "batch", "batch-ends"


@dataclass(frozen=True)
class Bench:
    """Where measurements are made: a float32 copy of the model, a device, and a place for pieces.

    Attributes:
        model: The copy: evaluation mode, no checkpointing, every parameter free.
        device: Where to compute.
        parts: Keeps finished pieces.
        progress: Show progress bars.
    """

    model: nn.Module
    device: torch.device
    parts: Parts
    progress: bool = True

    @classmethod
    def of(
        cls,
        model: nn.Module,
        device: str | torch.device = "cpu",
        parts: Parts | None = None,
        progress: bool = True,
    ) -> Bench:
        """Copy a model for measuring.

        Args:
            model: A CLIP model; not changed.
            device: Where to compute.
            parts: Keeps finished pieces; ``None`` keeps nothing.
            progress: Show progress bars.

        Returns:
            The bench.
        """
        twin = measurable_copy(model, torch.float32, device)
        return cls(twin, torch.device(device), parts or Parts(None, {}), progress)

    def place(self, batch: Pairs) -> Pairs:
        """Move a batch to the device.

        Args:
            batch: Images and token ids.

        Returns:
            The same there, images in float32.
        """
        return batch[0].to(self.device, torch.float32), batch[1].to(self.device)

    def findings(
        self, name: str, batches: Sequence[Pairs], settings: Settings
    ) -> list[BatchFindings]:
        """Measure mini-batches, each of which is a piece that is kept.

        Args:
            name: Of the pieces; a number is appended.
            batches: Images and token ids.
            settings: How to measure.

        Returns:
            The findings of each.
        """
        params = block_parameters(self.model, settings.block)
        loss, masks = ClipLoss(self.model), self._masks(params, settings)
        each = settings.max_products + settings.probes
        found = []
        bar = tqdm(
            total=each * len(batches), desc=f"Hessian, {name}", unit="HVP", mininterval=2,
            disable=not self.progress,
        )  # fmt: skip
        with bar:
            for i, batch in enumerate(batches):

                def compute(batch: Pairs = batch, i: int = i) -> Piece:
                    placed = self.place(batch)
                    found, ends = measure_batch(
                        loss, params, placed, settings, i, masks=masks, tick=bar.update
                    )
                    if i == 0 and name == MAIN:
                        self.parts.save_tensor(ENDS, ends)
                    return found.to_json()

                found.append(BatchFindings.from_json(self.parts(f"{name}-{i:03d}", compute)))
                bar.update((i + 1) * each - bar.n)
        return found

    def _masks(self, params: Sequence[Tensor], settings: Settings) -> dict[str, Tensor]:
        decayed = decayed_parameters(self.model, settings.decay)
        chosen: dict[str, Sequence[Tensor]] = {"l2": decayed}
        if settings.block == "all":
            chosen |= {name: of for name, of in blocks(self.model).items() if name != "all"}
        return {name: _mask(params, of) for name, of in chosen.items()}


def measure(
    model: nn.Module,
    batches: Sequence[Pairs],
    settings: Settings | None = None,
    *,
    device: str | torch.device = "cpu",
    parts: Parts | None = None,
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
        parts: Keeps the findings of each mini-batch, so that a killed measurement goes on.
        progress: Show a progress bar.

    Returns:
        All measurements.

    Raises:
        ValueError: If the batches are empty or differ in size.
    """
    settings = settings or Settings()
    if len({len(images) for images, _ in batches}) != 1:
        raise ValueError("batches must be at least one, all with the same number of pairs")
    bench = Bench.of(model, device, parts, progress)
    probes = check_model(model, bench.place(batches[0]), settings, device=device)
    if settings.block == "all" and "scan" in blocks(model):
        # By itself too: within the whole, its curvature may be too small to be judged.
        alone = replace(settings, block="scan")
        probes["scan"] = check_model(model, bench.place(batches[0]), alone, device=device)
    if progress:
        for errors in (probes, *([probes["scan"]] if "scan" in probes else [])):
            _print_probes(errors)
    findings = bench.findings(MAIN, batches, settings)
    given = {**vars(settings), "batch_size": len(batches[0][0]), "batches": len(batches)}
    params = block_parameters(bench.model, settings.block)
    decayed = _mask(params, decayed_parameters(bench.model, settings.decay))
    return summarise(
        findings,
        given,
        size=sum(p.numel() for p in params),
        l2_trace=settings.l2 * float(decayed.sum()),
        probes=probes,
        device=str(device),
    )


def summarise(
    findings: Sequence[BatchFindings],
    settings: Mapping[str, Any],
    *,
    size: int,
    l2_trace: float = 0.0,
    probes: dict[str, Any] | None = None,
    device: str = "cpu",
) -> HessianReport:
    """Put the findings of all mini-batches together.

    Args:
        findings: Of each mini-batch.
        settings: What was asked.
        size: Number of parameters differentiated.
        l2_trace: What the L2 term adds to the trace.
        probes: Errors of the second-derivative checks.
        device: Where it ran.

    Returns:
        All measurements.
    """
    return HessianReport(
        spectrum=gather(
            [f.ritz for f in findings],
            [f.products for f in findings],
            settings["tolerance"],
            [],
        ),
        trace=Trace(*np.stack([f.samples for f in findings], axis=1)),
        density=Density.from_rules([[f.rule] for f in findings], size),
        l2_shifts=np.stack([f.l2_shifts for f in findings]),
        l2_trace=l2_trace,
        shares={name: np.stack([f.shares[name] for f in findings]) for name in findings[0].shares},
        losses=np.asarray([f.loss for f in findings]),
        gradient_norms=np.asarray([f.gradient_norm for f in findings]),
        probes=probes or {},
        settings=dict(settings),
        parameters=size,
        seconds=(probes or {}).get("seconds", 0.0) + sum(f.seconds for f in findings),
        device=device,
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
    exact, used = (measurable_copy(model, t, device) for t in (torch.float64, torch.float32))
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
        "block": settings.block,
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


def measurable_copy(model: nn.Module, dtype: torch.dtype, device: str | torch.device) -> nn.Module:
    """Return a copy in evaluation mode, without checkpointing, with every parameter free.

    Args:
        model: A CLIP model; not changed.
        dtype: Of the copy's parameters.
        device: Where to put it.

    Returns:
        The copy.
    """
    twin = copy.deepcopy(model).to(device=device, dtype=dtype).eval()
    switch = getattr(twin, "set_grad_checkpointing", None)
    if callable(switch):
        switch(False)
    return twin.requires_grad_(True)


def quick(settings: Settings, **changes: Any) -> Settings:
    """Return settings for a side question: the outermost eigenvalue at each end and the trace.

    Args:
        settings: Of the main measurement.
        **changes: Further changes.

    Returns:
        Fewer products a mini-batch.
    """
    fewer = {"k": 1, "steps": 6, "max_products": 10, "probes": 2}
    return replace(settings, **{**fewer, **changes})


def _mask(params: Sequence[Tensor], chosen: Sequence[Tensor]) -> Tensor:
    wanted = {id(p) for p in chosen}
    return torch.cat([
        torch.full_like(p, float(id(p) in wanted), requires_grad=False).reshape(-1) for p in params
    ])


def _names(model: nn.Module, params: Sequence[Tensor]) -> list[str]:
    known = {id(p): name for name, p in model.named_parameters()}
    return [known[id(p)] for p in params]


def _print_probes(errors: dict[str, Any]) -> None:
    tqdm.write(
        f"second derivative, {errors['block']}: {errors['worst_difference']:.1e} from central "
        f"differences (allowed {errors['tolerance']:.0e}), symmetric to "
        f"{errors['symmetry']:.1e} (allowed {errors['symmetry_tolerance']:.0e}), float32 within "
        f"{errors['precision']:.1e} of float64"
    )
