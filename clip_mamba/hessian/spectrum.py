"""Eigenvalues at both ends of the Hessian, per mini-batch (Park & Kim 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from clip_mamba.hessian.draws import Draws
from clip_mamba.hessian.lanczos import Ritz, factorise
from clip_mamba.hessian.operator import HessianOperator, LossFunction, Split


@dataclass(frozen=True)
class Spectrum:
    """The eigenvalues gathered over mini-batches.

    Attributes:
        largest: (batches, k) largest eigenvalues, descending; NaN for ``method="power"`` where
            fewer than k of those found are positive.
        smallest: (batches, k) most negative eigenvalues, ascending.
        largest_residuals: (batches, k) ||H v - lambda v|| / |lambda|.
        smallest_residuals: The same for ``smallest``.
        largest_converged: (batches, k) residual within the tolerance.
        smallest_converged: The same for ``smallest``.
        products: (batches,) products with the Hessian.
        vectors: One (2k, parameters) tensor per batch, largest then smallest, if asked for.
    """

    largest: np.ndarray
    smallest: np.ndarray
    largest_residuals: np.ndarray
    smallest_residuals: np.ndarray
    largest_converged: np.ndarray
    smallest_converged: np.ndarray
    products: np.ndarray
    vectors: list[Tensor] = field(default_factory=list)

    @property
    def eigenvalues(self) -> np.ndarray:
        """(batches, k) the k of largest modulus, as power iteration with deflation finds them."""
        return self._by_modulus(self.largest, self.smallest)

    @property
    def residuals(self) -> np.ndarray:
        """(batches, k) relative residuals of :attr:`eigenvalues`."""
        return self._by_modulus(self.largest_residuals, self.smallest_residuals)

    @property
    def converged(self) -> np.ndarray:
        """(batches, k) convergence flags of :attr:`eigenvalues`."""
        return self._by_modulus(self.largest_converged, self.smallest_converged)

    def _by_modulus(self, of_largest: np.ndarray, of_smallest: np.ndarray) -> np.ndarray:
        # A matrix of fewer than 2k rows has eigenvalues in both lists: count those once.
        both = np.concatenate([self.largest, self.smallest], axis=1)
        twice = self.smallest >= self.largest[:, -1:]
        modulus = np.abs(both)
        modulus[:, self.largest.shape[1] :][twice] = -1
        modulus[np.isnan(both)] = -1
        order = np.argsort(-modulus, axis=1, kind="stable")[:, : self.largest.shape[1]]
        values = np.concatenate([of_largest, of_smallest], axis=1)
        return np.take_along_axis(values, order, axis=1)


def max_eigenvalue_spectrum(
    loss_fn: LossFunction,
    params: Sequence[Tensor],
    batches: Sequence[Any],
    k: int = 5,
    *,
    seed: int = 0,
    tolerance: float = 1e-3,
    max_products: int = 200,
    basis: int | None = None,
    method: Literal["lanczos", "power"] = "lanczos",
    split: Split | None = None,
    keep_vectors: bool = False,
    progress: bool = False,
) -> Spectrum:
    """Return the top eigenvalues of the Hessian of each mini-batch's loss.

    ``lanczos`` (our own, :mod:`clip_mamba.hessian.lanczos`) gives both ends. ``power`` is the
    published method, power iteration with deflation: it gives the k of largest modulus only and
    spends ``max_products`` evenly on them; it is there to cross-check.

    Args:
        loss_fn: Takes a batch, returns a scalar.
        params: Leaf tensors; a subset of a model's restricts the Hessian to that block.
        batches: The mini-batches.
        k: Eigenvalues at each end.
        seed: Seed of the start vectors.
        tolerance: Relative residual at which a pair counts as converged; the eigenvalue is
            then right to about its square times |lambda| / gap.
        max_products: Most Hessian-vector products per mini-batch.
        basis: Most vectors held at once (memory); ``None`` for no limit but ``max_products``.
        method: ``lanczos`` or ``power``.
        split: Cuts a batch into weighted parts, see :class:`HessianOperator`.
        keep_vectors: Return the eigenvectors too.
        progress: Show a progress bar.

    Returns:
        The eigenvalues with residuals and convergence flags.

    Raises:
        ValueError: If the method is unknown or there is no batch.
    """
    if method not in ("lanczos", "power"):
        raise ValueError(f"unknown method {method!r}; use 'lanczos' or 'power'")
    if len(batches) == 0:
        raise ValueError("batches is empty: pass at least one mini-batch")
    found, products, vectors = [], [], []
    for i, batch in enumerate(tqdm(batches, "Hessian spectrum", disable=not progress)):
        with HessianOperator(loss_fn, params, batch, split=split) as operator:
            draws = Draws(params[0], operator.size, seed, "start", i)
            if method == "power":
                ritz, pairs = _power_iteration(operator, draws, k, tolerance, max_products)
            else:
                result = factorise(
                    operator.matvec,
                    draws.signs(),
                    k=k,
                    steps=min(2 * k, max_products),
                    max_products=max_products,
                    tolerance=tolerance,
                    draw=draws.normal,
                    capacity=basis,
                )
                ritz = result.krylov.ritz(k)
                if keep_vectors:
                    pairs = torch.cat(result.krylov.vectors(k))
        found.append(ritz)
        products.append(operator.products)
        if keep_vectors:
            vectors.append(pairs)
    return gather(found, products, tolerance, vectors)


def gather(
    found: Sequence[Ritz], products: Sequence[int], tolerance: float, vectors: list[Tensor]
) -> Spectrum:
    """Stack what was found per mini-batch.

    Args:
        found: Ritz values per batch.
        products: Hessian-vector products per batch.
        tolerance: Relative residual at which a pair counts as converged.
        vectors: Eigenvectors per batch, or an empty list.

    Returns:
        The spectrum.
    """
    flags = [r.converged(tolerance) for r in found]
    return Spectrum(
        largest=np.stack([r.largest for r in found]),
        smallest=np.stack([r.smallest for r in found]),
        largest_residuals=np.stack([_relative(r.largest_error, r.largest) for r in found]),
        smallest_residuals=np.stack([_relative(r.smallest_error, r.smallest) for r in found]),
        largest_converged=np.stack([f[0] for f in flags]),
        smallest_converged=np.stack([f[1] for f in flags]),
        products=np.asarray(products),
        vectors=vectors,
    )


def _relative(error: np.ndarray, value: np.ndarray) -> np.ndarray:
    # A zero eigenvalue has no relative residual; its absolute one then stands.
    return error / np.where(value == 0, 1.0, np.abs(value))


def _power_iteration(
    operator: HessianOperator, draws: Draws, k: int, tolerance: float, max_products: int
) -> tuple[Ritz, Tensor]:
    """Return the k eigenpairs of largest modulus, each sign's in its list, padded with NaN."""
    pairs: list[tuple[float, float]] = []
    basis = operator.gradient.new_empty(0, operator.size)
    for _ in range(k):
        v = _deflated(draws.normal(), basis)
        for _ in range(max(1, max_products // k)):
            hv = operator.matvec(v)
            value = float(v @ hv)
            error, found = float((hv - value * v).norm()), v
            if error <= tolerance * abs(value):
                break
            v = _deflated(hv, basis)
        pairs.append((value, error))
        basis = torch.cat([basis, found[None]])
    floor = 10 * float(torch.finfo(v.dtype).eps) * max(abs(value) for value, _ in pairs)
    order = sorted(pairs)
    positive = [p for p in reversed(order) if p[0] >= 0]
    negative = [p for p in order if p[0] < 0]
    (high, high_error), (low, low_error) = (_padded(p, k) for p in (positive, negative))
    return Ritz(high, low, high_error, low_error, floor), basis


def _deflated(v: Tensor, basis: Tensor) -> Tensor:
    for _ in range(2):  # once leaves rounding of the size of what was taken away
        v = v - (basis @ v) @ basis
    return v / v.norm()


def _padded(pairs: list[tuple[float, float]], k: int) -> tuple[np.ndarray, np.ndarray]:
    table = np.full((k, 2), np.nan)
    if pairs:
        table[: len(pairs)] = pairs
    return table[:, 0], table[:, 1]
