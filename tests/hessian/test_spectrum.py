"""Spectrum, trace and density against dense Hessians of tiny CLIP models, and PyHessian."""

import re
from pathlib import Path

import numpy as np
import pyhessian
import pytest
import torch
from scipy.sparse.linalg import eigsh
from torch import nn

import clip_mamba
from clip_mamba.hessian import (
    HessianOperator,
    density,
    density_curve,
    effective_rank,
    max_eigenvalue_spectrum,
    negative_fraction,
    negative_mass,
    trace,
)


def quadratic(eigenvalues, dtype=torch.float64):
    """A loss whose Hessian has known eigenvalues, over two parameters and a scale per batch."""
    values = torch.as_tensor(eigenvalues, dtype=dtype)
    rotation, _ = torch.linalg.qr(
        torch.randn(len(values), len(values), generator=torch.Generator().manual_seed(0)).to(dtype)
    )
    matrix = rotation @ torch.diag(values) @ rotation.T
    params = [torch.zeros(10, 3), torch.zeros(len(values) - 30)]
    params = [p.to(dtype).requires_grad_() for p in params]

    def loss_fn(scale):
        x = torch.cat([p.reshape(-1) for p in params])
        return scale * (x @ matrix @ x) / 2 + x.sum()

    return loss_fn, params


VALUES = np.r_[np.linspace(-3, -1, 6), np.random.default_rng(1).normal(0, 0.02, 90), 5, 7, 11, 20]


def test_both_ends_match_the_dense_hessian(tiny):
    loss_fn, params, batches, dense = tiny
    found = max_eigenvalue_spectrum(loss_fn, params, batches, k=5, tolerance=1e-5)
    for i, hessian in enumerate(dense):
        exact = torch.linalg.eigvalsh(hessian).numpy()
        np.testing.assert_allclose(found.largest[i], exact[::-1][:5], rtol=1e-6)
        np.testing.assert_allclose(found.smallest[i], exact[:5], rtol=1e-6)
        by_modulus = exact[np.argsort(-np.abs(exact))][:5]
        np.testing.assert_allclose(found.eigenvalues[i], by_modulus, rtol=1e-6)
    assert found.converged.all()
    assert found.smallest_converged.all()
    assert (found.residuals <= 1e-5).all()


def test_trace_matches_the_dense_hessian(tiny):
    loss_fn, params, batches, dense = tiny
    exact, square = float(torch.trace(dense[0])), float(dense[0].square().sum())
    found = trace(loss_fn, params, batches, probes=40, deflate=20)
    plain = trace(loss_fn, params, batches, probes=40)
    for estimate in (found, plain):
        assert abs(estimate.mean - exact) < 3 * estimate.standard_error
    assert found.frobenius_squared[0] == pytest.approx(square, rel=0.01)
    # The point of deflation: far smaller errors for half as many products again.
    assert found.standard_error < 0.5 * plain.standard_error


def test_density_moments_match_the_dense_hessian(tiny):
    loss_fn, params, batches, dense = tiny
    # As many steps as outliers need to converge; then one probe fixes the second moment.
    found = density(loss_fn, params, batches, steps=100, probes=1)
    variance = found.moment(2) - found.moment(1) ** 2
    exact = torch.linalg.eigvalsh(dense[0]).numpy()
    assert variance == pytest.approx(exact.var(), rel=0.01)
    share = negative_mass(found.nodes, found.weights)[0, 0]
    assert share == pytest.approx((exact[exact < 0] ** 2).sum() / (exact**2).sum(), rel=0.02)
    np.testing.assert_allclose(found.weights.sum(-1), 1)


def test_density_of_a_known_spectrum():
    loss_fn, params = quadratic(VALUES)
    found = density(loss_fn, params, [1.0, 1.0], steps=60, probes=4)
    assert found.nodes.shape == (2, 4, 60)
    assert found.moment(1) == pytest.approx(VALUES.mean(), rel=0.01)
    assert found.moment(2) - found.moment(1) ** 2 == pytest.approx(VALUES.var(), rel=0.01)
    fraction = negative_fraction(found.nodes, found.weights, 0.5)
    np.testing.assert_allclose(fraction, 0.06, atol=1e-9)
    assert effective_rank((VALUES**2).sum(), 20.0) == pytest.approx((VALUES**2).sum() / 400)
    grid = np.linspace(-10, 30, 2001)
    curve = density_curve(found.nodes, found.weights, grid, sigma=0.5)
    assert np.trapezoid(curve, grid) == pytest.approx(1, abs=1e-6)


def test_batches_are_measured_separately_and_reproducibly():
    loss_fn, params = quadratic(VALUES)
    first = max_eigenvalue_spectrum(loss_fn, params, [1.0, -2.0], k=3, keep_vectors=True)
    second = max_eigenvalue_spectrum(loss_fn, params, [1.0, -2.0], k=3)
    other = max_eigenvalue_spectrum(loss_fn, params, [1.0, -2.0], k=3, seed=1)
    np.testing.assert_array_equal(first.largest, second.largest)
    np.testing.assert_allclose(first.largest, [[20, 11, 7], [6, 5.2, 4.4]], rtol=1e-5)
    np.testing.assert_allclose(first.eigenvalues, [[20, 11, 7], [-40, -22, -14]], rtol=1e-5)
    assert not np.array_equal(first.smallest, other.smallest)
    np.testing.assert_allclose(first.smallest, other.smallest, rtol=1e-5)
    assert first.vectors[0].shape == (6, len(VALUES))
    same = trace(loss_fn, params, [1.0]).samples
    np.testing.assert_array_equal(same, trace(loss_fn, params, [1.0]).samples)


def test_too_few_products_are_marked_not_converged():
    loss_fn, params = quadratic(VALUES)
    found = max_eigenvalue_spectrum(loss_fn, params, [1.0], k=5, max_products=10)
    assert found.products.tolist() == [10]
    assert found.largest_converged[0, 0] or found.largest_residuals[0, 0] > 1e-3
    assert not found.smallest_converged.all()
    assert (found.smallest_residuals[~found.smallest_converged] > 1e-3).all()


@pytest.mark.parametrize("basis", [None, 14])
def test_power_iteration_agrees(basis):
    loss_fn, params = quadratic(VALUES)
    options = {"k": 4, "max_products": 4000}
    power = max_eigenvalue_spectrum(loss_fn, params, [1.0], method="power", **options)
    lanczos = max_eigenvalue_spectrum(loss_fn, params, [1.0], basis=basis, **options)
    np.testing.assert_allclose(power.eigenvalues, lanczos.eigenvalues, rtol=1e-4)
    np.testing.assert_allclose(power.eigenvalues, [[20, 11, 7, 5]], rtol=1e-4)
    assert np.isnan(power.smallest).all()
    # Deflation by an inexact vector bounds what the next ones can reach.
    assert power.converged[0, 0]
    assert (power.residuals < 5e-3).all()
    assert power.products[0] > lanczos.products[0] / 2


def test_the_library_does_without_pyhessian():
    """Its files are under the GPL: a peer for tests and benchmarks, not a part."""
    library = Path(clip_mamba.__file__).parent
    users = [
        p.name
        for p in library.rglob("*.py")
        if re.search(r"import.*pyhessian|from pyhessian", p.read_text())
    ]
    assert users == []


def test_pyhessian_and_arpack_agree():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).eval()
    inputs, targets = torch.randn(40, 6), torch.randint(3, (40,))
    params, loss = list(net.parameters()), nn.CrossEntropyLoss()

    def loss_fn(batch):
        return loss(net(batch[0]), batch[1])

    found = max_eigenvalue_spectrum(loss_fn, params, [(inputs, targets)], k=3)
    with HessianOperator(loss_fn, params, (inputs, targets)) as operator:
        arpack = eigsh(operator.as_linear_operator(), k=3, which="LA", return_eigenvectors=False)
    np.testing.assert_allclose(found.largest[0], np.sort(arpack)[::-1], rtol=1e-4)
    assert all(p.grad is None for p in params)
    peer = pyhessian.hessian(net, loss, data=(inputs, targets), cuda=False)
    values, _ = peer.eigenvalues(maxIter=500, tol=1e-7, top_n=3)
    np.testing.assert_allclose(found.eigenvalues[0], values, rtol=1e-3)
    samples = np.asarray(peer.trace(maxIter=400, tol=0))
    ours = trace(loss_fn, params, [(inputs, targets)], probes=50, deflate=20)
    error = np.hypot(samples.std(ddof=1) / np.sqrt(len(samples)), ours.standard_error)
    assert abs(ours.mean - samples.mean()) < 3 * error


def test_result_does_not_depend_on_micro_batches():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    inputs, params = torch.randn(12, 6, dtype=torch.float64), list(net.parameters())

    def loss_fn(x):
        return net(x).square().mean()

    def split(x):
        return [(len(part) / len(x), part) for part in x.split([5, 4, 3])]

    whole = max_eigenvalue_spectrum(loss_fn, params, [inputs], k=4)
    parts = max_eigenvalue_spectrum(loss_fn, params, [inputs], k=4, split=split)
    np.testing.assert_allclose(parts.largest, whole.largest, rtol=1e-8)
    np.testing.assert_allclose(parts.smallest, whole.smallest, rtol=1e-8, atol=1e-12)


def test_a_parameter_without_curvature_is_allowed():
    a, b, unused = (torch.ones(3, requires_grad=True) for _ in range(3))
    operator = HessianOperator(lambda _: (a**3).sum() + b.sum(), [a, b, unused], None)
    product = operator.matvec(torch.ones(9))
    assert product.tolist() == [6.0] * 3 + [0.0] * 6
    linear = HessianOperator(lambda _: b.sum(), [b], None)
    assert linear.matvec(torch.ones(3)).tolist() == [0.0] * 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"params": []}, "params is empty"),
        ({"params": [torch.ones(3)]}, r"params\[0\] of shape \(3,\) is not a leaf"),
        ({"batches": []}, "batches is empty"),
        ({"method": "powr"}, "unknown method 'powr'"),
        ({"k": 200}, "k=200 eigenvalues asked of a Hessian with 100"),
    ],
)
def test_bad_input_is_refused(change, message):
    loss_fn, params = quadratic(VALUES)
    arguments = {"params": params, "batches": [1.0]} | change
    with pytest.raises(ValueError, match=message):
        max_eigenvalue_spectrum(loss_fn, **arguments)


def test_mixed_types_and_vector_losses_are_refused():
    a, b = torch.ones(2, requires_grad=True), torch.ones(2).double().requires_grad_()
    with pytest.raises(ValueError, match="mix types"):
        HessianOperator(lambda _: a.sum() + b.sum(), [a, b], None)
    with pytest.raises(ValueError, match="must return a scalar"):
        HessianOperator(lambda _: a, [a], None)
