"""Both ends, quadrature and restarts against dense eigenvalues of known matrices."""

import numpy as np
import pytest
import torch

from clip_mamba.hessian.draws import Draws
from clip_mamba.hessian.lanczos import factorise


def symmetric(eigenvalues, dtype=torch.float64):
    rng = np.random.default_rng(0)
    q, _ = np.linalg.qr(rng.normal(size=(len(eigenvalues),) * 2))
    return torch.as_tensor(q @ np.diag(eigenvalues) @ q.T, dtype=dtype)


def run(matrix, k=5, **options):
    draws = Draws(matrix, len(matrix), 0, "test")
    settings = {"steps": 12, "max_products": 400, "tolerance": 1e-6} | options
    return factorise(lambda v: matrix @ v, draws.signs(), k=k, draw=draws.normal, **settings)


SPECTRUM = np.r_[
    np.linspace(-3, -1, 6), np.random.default_rng(1).normal(0, 0.05, 180), 5, 7, 11, 20
]


@pytest.mark.parametrize("capacity", [None, 16, 40])
def test_both_ends_of_a_known_spectrum(capacity):
    result = run(symmetric(SPECTRUM), capacity=capacity)
    ritz, exact = result.krylov.ritz(5), np.sort(SPECTRUM)
    np.testing.assert_allclose(ritz.largest[:4], exact[::-1][:4], rtol=1e-9)
    np.testing.assert_allclose(ritz.smallest, exact[:5], rtol=1e-9)
    assert all(part.all() for part in ritz.converged(1e-6))
    assert result.products < 190


@pytest.mark.parametrize("capacity", [None, 16])
def test_reported_residuals_are_the_true_ones(capacity):
    matrix = symmetric(SPECTRUM)
    krylov = run(matrix, max_products=24, capacity=capacity).krylov
    ritz, vectors = krylov.ritz(5), krylov.vectors(5)
    for values, errors, basis in zip(
        (ritz.largest, ritz.smallest),
        (ritz.largest_error, ritz.smallest_error),
        vectors,
        strict=True,
    ):
        true = (basis @ matrix - torch.as_tensor(values.copy())[:, None] * basis).norm(dim=1)
        np.testing.assert_allclose(errors, true, rtol=1e-6, atol=1e-12)
    assert not all(part.all() for part in ritz.converged(1e-6))


def test_float32_loses_no_orthogonality():
    krylov = run(symmetric(SPECTRUM, torch.float32), tolerance=1e-4, max_products=80).krylov
    gram = krylov.basis @ krylov.basis.T
    torch.testing.assert_close(gram, torch.eye(krylov.j), atol=2e-6, rtol=0)
    np.testing.assert_allclose(krylov.ritz(4).largest, [20, 11, 7, 5], rtol=1e-5)


def test_quadrature_has_the_moments_of_the_start_vector():
    matrix = symmetric(SPECTRUM)
    result = run(matrix, steps=10, k=0)
    start = Draws(matrix, len(matrix), 0, "test").signs()
    start /= start.norm()
    power = start
    for order in range(1, 8):
        power = matrix @ power
        got = (result.rule.weights * result.rule.nodes**order).sum()
        assert got == pytest.approx(float(start @ power), rel=1e-9)
    assert result.rule.weights.sum() == pytest.approx(1)


def test_multiple_eigenvalues_are_found_after_a_breakdown():
    matrix = symmetric(np.r_[[4.0] * 3, [0.0] * 20, [-2.0] * 2])
    ritz = run(matrix, k=3, max_products=25).krylov.ritz(3)
    np.testing.assert_allclose(ritz.largest, [4, 4, 4], atol=1e-10)
    np.testing.assert_allclose(ritz.smallest, [-2, -2, 0], atol=1e-10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 300}, "k=300 eigenvalues asked of a Hessian with 190 parameters"),
        ({"k": 20}, "k <= steps <= max_products"),
        ({"capacity": 13}, "basis of 13 vectors is too small"),
    ],
)
def test_bad_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        run(symmetric(SPECTRUM), **options)
