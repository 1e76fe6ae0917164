"""Thick-restart Lanczos with full re-orthogonalisation, for both ends of a spectrum at once.

Symbols: n parameters, j columns so far, V orthonormal basis (j, n, one vector per row),
T = V H V' (j, j), beta the norm of the next direction, (theta, s) eigenpairs of T.

Wu & Simon (2000), "Thick-restart Lanczos method for large symmetric eigenvalue problems".
Per product with H, Lanczos is never worse than power iteration with deflation, whose iterate
lies in the same Krylov space, and yields both ends; ARPACK (scipy's eigsh) finds the same pairs,
but it hides T of the first cycle, which is the Gauss quadrature of the density, and its basis,
which the trace uses. So one factorisation per mini-batch serves all three.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

Matvec = Callable[[Tensor], Tensor]
Draw = Callable[[], Tensor]
#: Columns of the basis that are combined at a time.
COLUMNS = 1 << 20


@dataclass(frozen=True)
class Ritz:
    """Approximate eigenpairs at both ends.

    Attributes:
        largest: (k,) eigenvalues, descending.
        smallest: (k,) eigenvalues, ascending: the most negative first.
        largest_error: (k,) absolute residuals ||H v - lambda v||.
        smallest_error: (k,) the same for ``smallest``.
        floor: The residual that rounding alone leaves.
    """

    largest: np.ndarray
    smallest: np.ndarray
    largest_error: np.ndarray
    smallest_error: np.ndarray
    floor: float

    def converged(self, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
        """Mark the pairs whose residual is below ``tolerance`` * |lambda|, or rounding.

        Args:
            tolerance: Bound on the relative residual.

        Returns:
            Two (k,) boolean arrays, for ``largest`` and ``smallest``.
        """
        return (
            self.largest_error <= np.maximum(tolerance * np.abs(self.largest), self.floor),
            self.smallest_error <= np.maximum(tolerance * np.abs(self.smallest), self.floor),
        )


@dataclass(frozen=True)
class Quadrature:
    """A Gauss rule of a start vector's spectral measure.

    Attributes:
        nodes: (j,) ascending.
        weights: (j,) summing to 1.
        errors: (j,) residual of the Ritz pair at each node: a true eigenvalue is that near.
    """

    nodes: np.ndarray
    weights: np.ndarray
    errors: np.ndarray


class Krylov:
    """An orthonormal basis that grows by one product at a time."""

    def __init__(self, matvec: Matvec, start: Tensor, capacity: int, draw: Draw) -> None:
        """Begin with the direction of ``start``.

        Args:
            matvec: The symmetric operator.
            start: (n,) any vector but zero.
            capacity: Most columns before :meth:`restart` is needed; memory is
                (capacity + 1) * n numbers.
            draw: Gives a fresh random vector, used when an invariant subspace is exhausted.
        """
        self.size = start.numel()
        self.capacity = min(capacity, self.size)
        self.V = start.new_empty(self.capacity + 1, self.size)
        self.T = np.zeros((self.capacity, self.capacity))
        self.V[0] = start / start.norm()
        self.j = 0
        self.beta = 0.0
        self.exhausted = False
        self._matvec, self._draw = matvec, draw
        self._eps = float(torch.finfo(start.dtype).eps)

    @property
    def basis(self) -> Tensor:
        """(j, n) the orthonormal vectors; a view."""
        return self.V[: self.j]

    @property
    def projected(self) -> np.ndarray:
        """(j, j) the operator in that basis."""
        return self.T[: self.j, : self.j]

    def step(self) -> None:
        """Apply the operator to the newest vector and append the direction that is new."""
        w = self._matvec(self.V[self.j])
        known = self.V[: self.j + 1]
        coefficients = self._orthogonalise(w, known)
        self.T[: self.j + 1, self.j] = self.T[self.j, : self.j + 1] = coefficients.cpu().numpy()
        self.beta = float(w.norm())
        self.j += 1
        if self.j == self.size:
            self.beta, self.exhausted = 0.0, True
        elif self.beta <= 10 * self._eps * np.abs(self.T).max(initial=0.0):
            # An invariant subspace: go on in a random direction, which is not coupled to it.
            self.beta, self.exhausted = 0.0, True
            w = self._draw()
            self._orthogonalise(w, known)
            self.V[self.j] = w / w.norm()
        else:
            self.V[self.j] = w / self.beta

    @staticmethod  # takes from w, in place, its part in the rows of `known`
    def _orthogonalise(w: Tensor, known: Tensor) -> Tensor:
        # Twice, since once leaves rounding of the size of what was removed (Giraud et al. 2005).
        total = torch.zeros_like(known[:, 0])
        for _ in range(2):
            c = known @ w
            w -= c @ known
            total += c
        return total

    def quadrature(self) -> Quadrature:
        """Return the Gauss rule of the start vector's spectral measure (before any restart).

        Returns:
            Nodes, weights and how far each node is from an eigenvalue.
        """
        theta, s = np.linalg.eigh(self.projected)
        return Quadrature(theta, s[0] ** 2, self.beta * np.abs(s[-1]))

    def ritz(self, k: int) -> Ritz:
        """Return the k Ritz values at each end with their residuals.

        Args:
            k: At most the number of columns.

        Returns:
            Eigenvalues and absolute residuals.
        """
        theta, s = np.linalg.eigh(self.projected)
        error = self.beta * np.abs(s[-1])
        floor = 10 * self._eps * float(np.abs(theta).max())
        return Ritz(theta[::-1][:k], theta[:k], error[::-1][:k], error[:k], floor)

    def vectors(self, k: int) -> tuple[Tensor, Tensor]:
        """Return the Ritz vectors that belong to :meth:`ritz`.

        Args:
            k: As in :meth:`ritz`.

        Returns:
            (k, n) for the largest and (k, n) for the smallest.
        """
        _, s = np.linalg.eigh(self.projected)
        return self._combine(s[:, ::-1][:, :k]), self._combine(s[:, :k])

    def shares(self, k: int, mask: Tensor) -> np.ndarray:
        """Return how much of each Ritz vector lies in some coordinates, without forming them.

        Args:
            k: As in :meth:`ritz`.
            mask: (n,) ones at those coordinates, zeros elsewhere.

        Returns:
            (2k,) sums of squares, the largest values' vectors first.
        """
        _, s = np.linalg.eigh(self.projected)
        c = self._coefficients(np.concatenate([s[:, ::-1][:, :k], s[:, :k]], axis=1))
        total = torch.zeros_like(c[:, 0])
        for part, chosen in zip(self.basis.split(COLUMNS, 1), mask.split(COLUMNS), strict=True):
            total += (c @ part).square_() @ chosen
        return total.cpu().double().numpy()

    def _combine(self, coefficients: np.ndarray) -> Tensor:
        return self._coefficients(coefficients) @ self.basis

    def _coefficients(self, of: np.ndarray) -> Tensor:
        return torch.as_tensor(of.T.copy(), dtype=self.V.dtype, device=self.V.device)

    def restart(self, keep: int) -> None:
        """Shrink the basis to the ``keep`` outermost Ritz vectors of each end.

        Args:
            keep: Vectors per end; 2 * keep must be below the capacity.
        """
        theta, s = np.linalg.eigh(self.projected)
        chosen = np.r_[:keep, self.j - keep : self.j]
        following = self.V[self.j].clone()
        c = self._coefficients(s[:, chosen])
        for part in self.V.split(COLUMNS, dim=1):  # in place: no second basis is held
            part[: 2 * keep] = c @ part[: self.j]
        self.j = 2 * keep
        self.V[self.j] = following
        # The coupling of `following` to the kept vectors comes out of the next step by itself.
        self.T[:] = 0
        self.T[: self.j, : self.j] = np.diag(theta[chosen])


@dataclass(frozen=True)
class Factorisation:
    """What :func:`factorise` leaves behind.

    Attributes:
        krylov: The final basis and projected operator.
        rule: Gauss rule of the start vector's spectral measure after ``steps``.
        products: Products with the operator.
    """

    krylov: Krylov
    rule: Quadrature
    products: int


def factorise(
    matvec: Matvec,
    start: Tensor,
    *,
    k: int,
    steps: int,
    max_products: int,
    tolerance: float,
    draw: Draw,
    capacity: int | None = None,
) -> Factorisation:
    """Run ``steps`` Lanczos steps, then go on until k pairs at each end have converged.

    Args:
        matvec: The symmetric operator.
        start: (n,) start vector; random for a density.
        k: Eigenpairs wanted at each end; 0 for the quadrature alone.
        steps: Steps of the Gauss quadrature, done in any case.
        max_products: Budget.
        tolerance: Relative residual ||H v - lambda v|| / |lambda| to reach.
        draw: Gives a fresh random vector.
        capacity: Most basis vectors held at once; ``None`` for ``max_products`` (no restart).

    Returns:
        Basis, quadrature and the number of products.

    Raises:
        ValueError: If the numbers do not fit each other.
    """
    n = start.numel()
    steps = min(steps, n)
    capacity = min(capacity or max_products, n)
    if k > n:
        raise ValueError(f"k={k} eigenvalues asked of a Hessian with {n} parameters")
    if not max(k, 1) <= steps <= max_products:
        raise ValueError(f"need k <= steps <= max_products, not {k}, {steps}, {max_products}")
    if capacity < min(n, max_products, max(steps, 2 * k + 4)):
        raise ValueError(
            f"a basis of {capacity} vectors is too small for steps={steps} and k={k}: "
            f"allow {max(steps, 2 * k + 4)}"
        )
    krylov = Krylov(matvec, start, capacity, draw)
    for _ in range(steps):
        krylov.step()
    rule = krylov.quadrature()
    products = steps
    while k and products < max_products and not _finished(krylov, k, tolerance):
        if krylov.j == krylov.capacity:
            krylov.restart(min(k + 3, (krylov.capacity - 2) // 2))
        krylov.step()
        products += 1
    return Factorisation(krylov, rule, products)


def _finished(krylov: Krylov, k: int, tolerance: float) -> bool:
    if krylov.j == krylov.size:
        return True
    if krylov.exhausted:
        # Zero residuals of an invariant subspace do not show that the ends are in it.
        return krylov.j == krylov.capacity
    return all(part.all() for part in krylov.ritz(k).converged(tolerance))
