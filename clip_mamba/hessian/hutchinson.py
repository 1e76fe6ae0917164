"""The trace of the Hessian by Hutchinson's estimator, with its standard error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor
from tqdm import tqdm

from clip_mamba.hessian.draws import Draws
from clip_mamba.hessian.lanczos import Krylov, Matvec, factorise
from clip_mamba.hessian.operator import HessianOperator, LossFunction, Split


@dataclass(frozen=True)
class Trace:
    """Estimates of the trace.

    Attributes:
        samples: (batches, probes) unbiased estimates, one per batch and probe.
        squares: (batches, probes) the same of the trace of H^2, from the same products.
    """

    samples: np.ndarray
    squares: np.ndarray

    @property
    def frobenius_squared(self) -> np.ndarray:
        """(batches,) estimate of the sum of the squared eigenvalues."""
        return self.squares.mean(axis=1)

    @property
    def per_batch(self) -> np.ndarray:
        """(batches,) estimate for each mini-batch."""
        return self.samples.mean(axis=1)

    @property
    def per_batch_error(self) -> np.ndarray:
        """(batches,) standard error of each from its probes; NaN with one probe."""
        probes = self.samples.shape[1]
        if probes < 2:
            return np.full(len(self.samples), np.nan)
        return self.samples.std(axis=1, ddof=1) / np.sqrt(probes)

    @property
    def mean(self) -> float:
        """Mean over batches and probes."""
        return float(self.samples.mean())

    @property
    def standard_error(self) -> float:
        """Standard error of :attr:`mean` from the probes alone, for these batches."""
        return float(np.sqrt((self.per_batch_error**2).sum()) / len(self.samples))


def trace(
    loss_fn: LossFunction,
    params: Sequence[Tensor],
    batches: Sequence[Any],
    probes: int = 10,
    *,
    deflate: int = 0,
    seed: int = 0,
    split: Split | None = None,
    progress: bool = False,
) -> Trace:
    """Estimate the trace of the Hessian of each mini-batch's loss.

    Hutchinson (1990): the mean of g' H g over random signs g. With ``deflate`` the part in a
    Krylov space of that many products is exact and only the rest is sampled: the idea of
    Hutch++ (Meyer et al. 2021) with Lanczos in place of its sketch, cheaper as soon as a few
    outlying eigenvalues carry the Frobenius norm. (pyhessian's ``trace`` is sound, but stops
    when its running mean moves little, which is not an error estimate.)

    Args:
        loss_fn: Takes a batch, returns a scalar.
        params: Leaf tensors.
        batches: The mini-batches.
        probes: Random vectors per mini-batch, one product each.
        deflate: Lanczos steps before the probes.
        seed: Seed of the probes.
        split: Cuts a batch into weighted parts, see :class:`HessianOperator`.
        progress: Show a progress bar.

    Returns:
        All samples and their standard error.

    Raises:
        ValueError: If there is no batch or no probe.
    """
    if len(batches) == 0 or probes < 1:
        raise ValueError(f"need a batch and a probe, not {len(batches)} and {probes}")
    samples = []
    for i, batch in enumerate(tqdm(batches, "Hessian trace", disable=not progress)):
        with HessianOperator(loss_fn, params, batch, split=split) as operator:
            krylov = None
            if deflate:
                draws = Draws(params[0], operator.size, seed, "start", i)
                krylov = factorise(
                    operator.matvec,
                    draws.signs(),
                    k=0,
                    steps=deflate,
                    max_products=deflate,
                    tolerance=0.0,
                    draw=draws.normal,
                ).krylov
            probe = Draws(params[0], operator.size, seed, "trace", i)
            samples.append(trace_samples(operator.matvec, probes, probe, krylov))
    return Trace(*np.stack(samples, axis=1))


def trace_samples(
    matvec: Matvec, probes: int, draws: Draws, krylov: Krylov | None = None
) -> np.ndarray:
    """Return unbiased samples of the traces of one operator and of its square.

    Args:
        matvec: The symmetric operator.
        probes: Number of samples, one product each.
        draws: Source of the random signs; must be independent of ``krylov``.
        krylov: Space V, with projector P, on which the traces are taken exactly. Since
            H V' = V' T + beta v e', tr PH = tr T and tr PH^2 = ||T||^2 + beta^2.

    Returns:
        (2, probes) samples of tr H and of tr H^2.
    """
    exact = np.zeros(2)
    if krylov is not None:
        squares = (krylov.projected**2).sum() + krylov.beta**2
        exact = np.array([np.trace(krylov.projected), squares])
    samples = []
    for _ in range(probes):
        g = draws.signs()
        if krylov is not None:
            g -= (krylov.basis @ g) @ krylov.basis
        product = matvec(g)
        samples.append(exact + [float(g @ product), float(product @ product)])
    return np.stack(samples, axis=1)
