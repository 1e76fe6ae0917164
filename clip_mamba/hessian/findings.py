"""What is measured on one mini-batch, and how it is written to and read from JSON."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from clip_mamba.hessian.clip_loss import ClipLoss, Pairs
from clip_mamba.hessian.contrastive import hessian_of
from clip_mamba.hessian.draws import Draws
from clip_mamba.hessian.hutchinson import trace_samples
from clip_mamba.hessian.lanczos import Quadrature, Ritz, factorise


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
        chunk: Pairs whose gradient graph is held at once; ``None`` for all of the mini-batch.
            Fewer take less memory and more time, and give the same numbers.
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
    chunk: int | None = None
    l2: float = 0.0
    decay: Literal["report", "mamba"] = "report"
    block: str = "all"
    probe_pairs: int = 4
    seed: int = 0


@dataclass(frozen=True)
class BatchFindings:
    """The raw measurements of one mini-batch.

    Attributes:
        ritz: Both ends of the spectrum with residuals.
        rule: The Gauss rule of the density.
        samples: (2, probes) of the traces of H and of H^2.
        l2_shifts: (2k,) what the L2 term adds to each eigenvalue, largest then smallest.
        shares: Name of a block of parameters to the (2k,) parts of the eigenvectors' squared
            length that lie in it.
        products: Hessian-vector products.
        loss: The loss.
        gradient_norm: Length of its gradient.
        seconds: Wall time.
    """

    ritz: Ritz
    rule: Quadrature
    samples: np.ndarray
    l2_shifts: np.ndarray
    shares: dict[str, np.ndarray]
    products: int
    loss: float
    gradient_norm: float
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return plain values, from which :meth:`from_json` makes an equal object.

        Returns:
            Nested dictionaries and lists.
        """
        return _plain(asdict(self))

    @classmethod
    def from_json(cls, piece: Mapping[str, Any]) -> BatchFindings:
        """Read what :meth:`to_json` wrote.

        Args:
            piece: Nested dictionaries and lists.

        Returns:
            The findings.
        """
        values = {**piece, "ritz": Ritz(**_arrays(piece["ritz"]))}
        values["rule"] = Quadrature(**_arrays(piece["rule"]))
        values["shares"] = _arrays(piece["shares"])
        for name in ("samples", "l2_shifts"):
            values[name] = np.asarray(piece[name])
        return cls(**{field.name: values[field.name] for field in fields(cls)})


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return value.tolist() if isinstance(value, np.ndarray) else value


def _arrays(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: np.asarray(v) if isinstance(v, list) else v for k, v in values.items()}


def measure_batch(
    loss: ClipLoss,
    params: Sequence[Tensor],
    batch: Pairs,
    settings: Settings,
    index: int,
    *,
    masks: Mapping[str, Tensor],
    tick: Callable[[int], object],
) -> tuple[BatchFindings, Tensor]:
    """Measure one mini-batch: one factorisation for spectrum, density and most of the trace.

    Args:
        loss: CLIP's loss.
        params: Leaf tensors to differentiate by.
        batch: Images and token ids.
        settings: How to measure.
        index: Number of the mini-batch, for the random vectors.
        masks: Name to (size,) zeros and ones; ``l2`` marks the decayed parameters, the others
            blocks of parameters.
        tick: Called with 1 after each product.

    Returns:
        The findings, and the most and least curved directions, (2, size).
    """
    began = time.perf_counter()
    operator = hessian_of(loss, params, batch, settings.chunk)

    def matvec(v: Tensor) -> Tensor:
        tick(1)
        return operator.matvec(v)

    try:
        draws = Draws(params[0], operator.size, settings.seed, "start", index)
        found = factorise(
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
        samples = trace_samples(matvec, settings.probes, probes, found.krylov)
    finally:
        operator.close()
    shares = {name: found.krylov.shares(settings.k, mask) for name, mask in masks.items()}
    findings = BatchFindings(
        ritz=found.krylov.ritz(settings.k),
        rule=found.rule,
        samples=samples,
        l2_shifts=settings.l2 * shares.pop("l2"),
        shares=shares,
        products=operator.products,
        loss=operator.loss,
        gradient_norm=float(operator.gradient.norm()),
        seconds=time.perf_counter() - began,
    )
    return findings, torch.cat(found.krylov.vectors(1))
