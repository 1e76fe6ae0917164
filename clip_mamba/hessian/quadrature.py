"""The eigenvalue density by stochastic Lanczos quadrature, and figures derived from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor
from tqdm import tqdm

from clip_mamba.hessian.draws import Draws
from clip_mamba.hessian.lanczos import Quadrature, factorise
from clip_mamba.hessian.operator import HessianOperator, LossFunction, Split


@dataclass(frozen=True)
class Density:
    """Gauss quadratures of the spectral density; smoothing is for plots only.

    Attributes:
        nodes: (batches, probes, steps) eigenvalue estimates, ascending.
        raw_weights: (batches, probes, steps) Gauss weight of each node; sums to 1.
        weights: The same, with the weight of each node that is a converged, isolated
            eigenvalue replaced by what it estimates, 1 / size; see :func:`deflate_weights`.
        size: Number of parameters, by which a share becomes a count of eigenvalues.
    """

    nodes: np.ndarray
    raw_weights: np.ndarray
    weights: np.ndarray
    size: int

    @classmethod
    def from_rules(cls, rules: Sequence[Sequence[Quadrature]], size: int) -> Density:
        """Stack quadratures of equal length.

        Args:
            rules: Per batch, per probe.
            size: Number of parameters.

        Returns:
            The density.
        """
        nodes = np.array([[r.nodes for r in row] for row in rules])
        raw = np.array([[r.weights for r in row] for row in rules])
        exact = np.array([[deflate_weights(r, size) for r in row] for row in rules])
        return cls(nodes, raw, exact, size)

    def moment(self, order: int) -> float:
        """Return the mean of the eigenvalues' powers, averaged over batches and probes.

        Args:
            order: The power; exact in expectation up to 2 * steps - 1.

        Returns:
            tr(H^order) / size.
        """
        return float((self.weights * self.nodes**order).sum(axis=-1).mean())


def density(
    loss_fn: LossFunction,
    params: Sequence[Tensor],
    batches: Sequence[Any],
    steps: int = 40,
    probes: int = 1,
    *,
    seed: int = 0,
    split: Split | None = None,
    progress: bool = False,
) -> Density:
    """Estimate the eigenvalue density of the Hessian of each mini-batch's loss.

    Stochastic Lanczos quadrature (Ubaru, Chen & Saad 2017; Ghorbani et al. 2019) with full
    re-orthogonalisation, so that no ghost eigenvalue appears. (pyhessian's ``density`` calls
    the removed ``torch.eig``.)

    Args:
        loss_fn: Takes a batch, returns a scalar.
        params: Leaf tensors.
        batches: The mini-batches.
        steps: Quadrature nodes, one product each; memory is as many vectors.
        probes: Random start vectors per mini-batch.
        seed: Seed of the start vectors.
        split: Cuts a batch into weighted parts, see :class:`HessianOperator`.
        progress: Show a progress bar.

    Returns:
        Nodes and weights.

    Raises:
        ValueError: If there is no batch or no probe.
    """
    if len(batches) == 0 or probes < 1:
        raise ValueError(f"need a batch and a probe, not {len(batches)} and {probes}")
    rules = []
    for i, batch in enumerate(tqdm(batches, "Hessian density", disable=not progress)):
        with HessianOperator(loss_fn, params, batch, split=split) as operator:
            draws = Draws(params[0], operator.size, seed, "start", i)
            rules.append([_rule(operator, draws, steps) for _ in range(probes)])
            size = operator.size
    return Density.from_rules(rules, size)


def _rule(operator: HessianOperator, draws: Draws, steps: int) -> Quadrature:
    return factorise(
        operator.matvec,
        draws.signs(),
        k=0,
        steps=steps,
        max_products=steps,
        tolerance=0.0,
        draw=draws.normal,
    ).rule


def deflate_weights(rule: Quadrature, size: int, tolerance: float = 0.05) -> np.ndarray:
    """Return weights in which converged outlying eigenvalues count exactly once.

    The Gauss weight of an isolated eigenvalue is the squared overlap of its eigenvector with
    the random start, 1/size only in the mean: a chi-square variate, which makes figures that
    hang on outliers (second moment, negative mass) useless with few probes. Where the Ritz
    pair has converged its multiplicity, one, is known and 1/size is put in its place; the
    other weights, averages over many eigenvalues, are scaled to fill up to 1.

    Args:
        rule: A Gauss rule.
        size: Number of parameters.
        tolerance: Relative residual at which a pair counts as converged here.

    Returns:
        (j,) weights that sum to 1.
    """
    # A squared overlap above 20/size (odds 1e-5) means a multiple eigenvalue, such as the zero
    # of weights the batch does not use: leave it.
    single = (rule.errors <= tolerance * np.abs(rule.nodes)) & (size * rule.weights < 20)
    rest = rule.weights[~single].sum()
    if rest == 0 or single.sum() >= size:
        return np.full_like(rule.weights, 1 / len(rule.weights))
    filled = rule.weights * (1 - single.sum() / size) / rest
    return np.where(single, 1 / size, filled)


def density_curve(
    nodes: np.ndarray, weights: np.ndarray, grid: np.ndarray, sigma: float
) -> np.ndarray:
    """Smooth quadratures with a Gaussian kernel, for plotting.

    Args:
        nodes: (..., steps) nodes of any number of quadratures.
        weights: The same shape; each quadrature sums to 1.
        grid: (points,) where to evaluate.
        sigma: Width of the kernel, in units of the eigenvalues.

    Returns:
        (points,) density that integrates to 1, averaged over the quadratures.

    Raises:
        ValueError: If ``sigma`` is not positive.
    """
    if sigma <= 0:
        raise ValueError(f"sigma must be positive, not {sigma}")
    nodes, weights = np.asarray(nodes, float), np.asarray(weights, float)
    rules = max(1, nodes.size // nodes.shape[-1])
    flat, share = nodes.reshape(-1), weights.reshape(-1) / rules
    kernel = np.exp(-0.5 * ((grid[:, None] - flat) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))
    return kernel @ share


def negative_mass(nodes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the share of the squared Frobenius norm that negative eigenvalues carry.

    Sum of lambda^2 over lambda < 0, divided by the sum over all. Squared, because counts and
    sums of |lambda| hang on the bulk at zero, which tens of nodes do not resolve (both moved by
    tens of per cent from 24 to 110 nodes on a trained CLIP, this by a few once the outliers are
    deflated).

    Args:
        nodes: (..., steps) quadrature nodes.
        weights: Their weights, deflated.

    Returns:
        (...) shares in [0, 1].
    """
    square = nodes**2 * weights
    return np.where(nodes < 0, square, 0).sum(axis=-1) / square.sum(axis=-1)


def negative_fraction(nodes: np.ndarray, weights: np.ndarray, threshold: float) -> np.ndarray:
    """Return the share of eigenvalues below ``-threshold``.

    Args:
        nodes: (..., steps) quadrature nodes.
        weights: Their weights.
        threshold: How negative an eigenvalue must be to count; well away from the bulk.

    Returns:
        (...) shares in [0, 1].
    """
    return np.where(nodes < -threshold, weights, 0).sum(axis=-1)


def effective_rank(frobenius_squared: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """Return the stable rank, ||H||_F^2 / ||H||^2: how many eigenvalues as large as the largest.

    Chosen over entropies and over (sum |lambda|)^2 / sum lambda^2 because both norms are
    estimated well by few products; those hang on the unresolved bulk.

    Args:
        frobenius_squared: Sum of the squared eigenvalues.
        largest: Largest modulus of an eigenvalue.

    Returns:
        At least 1.
    """
    return frobenius_squared / largest**2
