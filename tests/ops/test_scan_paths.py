import pytest
import torch

from clip_mamba.ops import scan_paths
from clip_mamba.ops.scan_paths import fold_paths, unfold_paths

SIZES = [(2, 3), (1, 1), (1, 5), (4, 1), (5, 4), (9, 7)]


@pytest.fixture
def plain(monkeypatch):
    """Return a function that runs another with torch operations only."""

    def run(function, *arguments):
        with monkeypatch.context() as context:
            context.setattr(scan_paths, "_FUSED", False)
            return function(*arguments)

    return run


@pytest.mark.parametrize("fused", [True, False])
def test_paths(fused, monkeypatch):
    monkeypatch.setattr(scan_paths, "_FUSED", fused)
    x = torch.tensor([[0.0, 1, 2], [3, 4, 5]]).view(1, 2, 3, 1)
    paths = unfold_paths(x, shared=True)
    assert paths[0, :, 0].tolist() == [
        [0, 1, 2, 3, 4, 5],
        [0, 3, 1, 4, 2, 5],
        [5, 4, 3, 2, 1, 0],
        [5, 2, 4, 1, 3, 0],
    ]
    assert torch.equal(fold_paths(paths, 2, 3, shared=True), 4 * x)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("depth", [1, 19])
def test_kernels_equal_torch(plain, shared, size, depth):
    rng = torch.Generator().manual_seed(0)
    maps = torch.randn(3, *size, depth if shared else 4 * depth, generator=rng)
    y = unfold_paths(maps, shared)
    assert torch.equal(y, plain(unfold_paths, maps, shared))
    y = torch.randn(y.shape, generator=rng)
    back = fold_paths(y, *size, shared)
    torch.testing.assert_close(back, plain(fold_paths, y, *size, shared))
    # Adjoint: <unfold(x), y> = <x, fold(y)>.
    torch.testing.assert_close((unfold_paths(maps, shared) * y).sum(), (maps * back).sum())


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("fused", [True, False])
def test_derivatives(shared, fused, monkeypatch):
    monkeypatch.setattr(scan_paths, "_FUSED", fused)
    maps = torch.randn(2, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    y = torch.randn(2, 4, 1, 6, dtype=torch.float64, requires_grad=True)
    for check in (torch.autograd.gradcheck, torch.autograd.gradgradcheck):
        assert check(lambda x: unfold_paths(x, shared) ** 3, maps)
        assert check(lambda x: fold_paths(x, 2, 3, shared) ** 3, y)


@pytest.mark.parametrize("shared", [True, False])
def test_empty_and_strided(plain, shared):
    assert unfold_paths(torch.zeros(0, 2, 3, 4), shared).shape == (0, 4, 4 if shared else 1, 6)
    maps = torch.randn(2, 8, 3, 5).permute(0, 2, 3, 1)  # channels first in memory
    assert torch.equal(unfold_paths(maps, shared), plain(unfold_paths, maps, shared))
    y = torch.randn(2, 7, 15, 4).permute(0, 3, 1, 2)
    torch.testing.assert_close(
        fold_paths(y, 3, 5, shared), plain(fold_paths, y, 3, 5, shared), rtol=0, atol=1e-6
    )


def test_torch_func():
    x = torch.randn(1, 2, 2, 1, dtype=torch.float64)

    def loss(maps):
        return (unfold_paths(maps, True) ** 3).sum()

    hessian = torch.func.hessian(loss)(x).reshape(4, 4)
    torch.testing.assert_close(hessian, torch.diag(24 * x.flatten()))
