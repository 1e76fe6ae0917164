"""The CUDA dispatch, with a stand-in for mamba_ssm that is as once-only as the real one."""

import sys
from types import ModuleType

import pytest
import torch
from scan_inputs import direction_like, scan_inputs
from torch.utils.checkpoint import checkpoint

from clip_mamba.ops.arguments import check_scan
from clip_mamba.ops.scan_cuda import scan_cuda
from clip_mamba.ops.selective_scan import selective_scan


class RawKernels(torch.autograd.Function):
    """Like mamba_ssm's SelectiveScanFn: its backward leaves no graph and does not say so."""

    @staticmethod
    def forward(ctx, u, delta, A, B, C, D, delta_bias, softplus):
        ctx.softplus = softplus
        ctx.save_for_backward(u, delta, A, B, C, D, delta_bias)
        return selective_scan(u, delta, A, B, C, D, delta_bias, softplus, backend="torch")

    @staticmethod
    def backward(ctx, grad_y):
        saved = [t.detach().requires_grad_() for t in ctx.saved_tensors]
        with torch.enable_grad():
            y = selective_scan(*saved, ctx.softplus, backend="torch")
        grads = torch.autograd.grad(y, saved, grad_y.detach())
        # Like raw kernels given tensors: values are right, the graph is only seemingly there.
        return *(g + 0 * grad_y.sum() for g in grads), None


@pytest.fixture
def raw_scan(monkeypatch):
    def selective_scan_fn(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False):
        return RawKernels.apply(u, delta, A, B, C, D, delta_bias, delta_softplus)

    names = ["mamba_ssm", "mamba_ssm.ops", "mamba_ssm.ops.selective_scan_interface"]
    modules = {name: ModuleType(name) for name in names}
    modules[names[-1]].selective_scan_fn = selective_scan_fn
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return selective_scan_fn


@pytest.fixture
def inputs():
    return scan_inputs(2, 4, 6, 2, 3, dtype=torch.float32)


def product(scan, inputs):
    """Return the Hessian-vector product of a loss."""
    gradients = torch.autograd.grad(scan().square().sum(), inputs, create_graph=True)
    return torch.autograd.grad(gradients, inputs, direction_like(inputs))


def test_values_and_gradients_pass_through(raw_scan, inputs):
    truth = selective_scan(*inputs, True, backend="reference")
    y = scan_cuda(check_scan(*inputs, True))
    torch.testing.assert_close(y, truth)
    grads = torch.autograd.grad(y.sum(), inputs)
    for found, expected in zip(grads, torch.autograd.grad(truth.sum(), inputs), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_a_once_only_backward_is_silently_wrong_and_the_guard_refuses_it(raw_scan, inputs):
    u, delta, A, B, C, D, bias = inputs
    truth = product(lambda: selective_scan(*inputs, True, backend="reference"), inputs)
    right = product(lambda: selective_scan(*inputs, True, backend="torch"), inputs)
    wrong = product(lambda: raw_scan(u, delta, A, B, C, D, None, bias, True), inputs)
    worst = max((w - t).norm() / t.norm() for w, t in zip(wrong, truth, strict=True))
    assert worst > 0.1  # the trap: no error, and not the Hessian
    for found, expected in zip(right, truth, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    with pytest.raises(RuntimeError, match="backend='torch'.*twice_differentiable"):
        product(lambda: scan_cuda(check_scan(*inputs, True)), inputs)


def test_curvature_through_what_follows_the_scan_is_refused_too(raw_scan, inputs):
    scale = torch.ones(6, requires_grad=True)
    y = scan_cuda(check_scan(*inputs, True)) * scale
    (gradient,) = torch.autograd.grad(y.sum(), inputs[0], create_graph=True)
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(gradient.sum(), scale)


def test_a_graph_that_nobody_differentiates_is_fine(raw_scan, inputs):
    y = scan_cuda(check_scan(*inputs, True))
    torch.autograd.grad(y.sum(), inputs, create_graph=True)


def test_checkpointing_works(raw_scan, inputs):
    def block(*given):
        return scan_cuda(check_scan(*given, True)).tanh()

    y = checkpoint(block, *inputs, use_reentrant=False)
    found = torch.autograd.grad(y.sum(), inputs)
    expected = torch.autograd.grad(block(*inputs).sum(), inputs)
    assert all(torch.equal(f, e) for f, e in zip(found, expected, strict=True))


def test_optional_arguments_may_be_missing(raw_scan, monkeypatch):
    module = sys.modules["mamba_ssm.ops.selective_scan_interface"]
    seen = {}

    def selective_scan_fn(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False):
        seen.update(D=D, delta_bias=delta_bias, dtypes=(u.dtype, A.dtype, B.dtype))
        return u * 1

    monkeypatch.setattr(module, "selective_scan_fn", selective_scan_fn)
    inputs = scan_inputs(1, 4, 3, 1, 2, with_D=False, with_bias=False, dtype=torch.bfloat16)
    scan_cuda(check_scan(*inputs, False)).sum().backward()
    assert seen["D"] is None
    assert seen["delta_bias"] is None
    assert seen["dtypes"] == (torch.bfloat16, torch.float32, torch.bfloat16)


def test_float64_is_refused(raw_scan):
    with pytest.raises(ValueError, match="no float64"):
        scan_cuda(check_scan(*scan_inputs(1, 4, 3, 1, 2), False))
