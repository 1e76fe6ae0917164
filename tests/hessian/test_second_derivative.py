"""The probe passes right second derivatives and catches wrong ones."""

from importlib import import_module

import pytest
import torch
from tiny_clips import TOWERS, pairs, tiny_clip
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from clip_mamba.hessian import ClipLoss, SecondDerivativeError, Settings, check_model, probe
from clip_mamba.models import layers
from clip_mamba.ops.selective_scan import selective_scan

#: The module: the package exports a function of that name.
module = import_module("clip_mamba.hessian.measure")


class OnceOnlySquare(torch.autograd.Function):
    """x^2 whose backward hides from autograd, as raw kernels do that are not marked."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        with torch.no_grad():
            slope = (2 * x).detach()
        return gradient * slope


class Marked(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return 2 * gradient * ctx.saved_tensors[0]


def mlp(square, dtype=torch.float64):
    random = torch.Generator().manual_seed(0)
    params = [torch.randn(4, 4, generator=random).to(dtype).requires_grad_() for _ in range(2)]

    def loss_fn(x):
        return (square(x @ params[0]) @ params[1]).tanh().square().sum()

    return loss_fn, params, torch.randn(5, 4, generator=random).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_right_derivative_passes_and_parameters_are_restored(dtype):
    loss_fn, params, batch = mlp(torch.square, dtype)
    before = [p.detach().clone() for p in params]
    errors = probe(loss_fn, params, batch)
    assert errors.passed
    assert errors.dtype == str(dtype).removeprefix("torch.")
    assert all(torch.equal(p, b) for p, b in zip(params, before, strict=True))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_once_only_backward_is_caught(dtype):
    loss_fn, params, batch = mlp(OnceOnlySquare.apply, dtype)
    with pytest.raises(SecondDerivativeError, match="worst tensor weights"):
        probe(loss_fn, params, batch, names=["weights", "head"])


def test_once_differentiable_is_caught_though_autograd_is_silent():
    """torch.autograd.grad prunes the node that would have raised."""
    loss_fn, params, batch = mlp(Marked.apply)
    with pytest.raises(SecondDerivativeError, match="nothing was measured"):
        probe(loss_fn, params, batch)


def test_a_kernel_without_a_second_derivative_is_reported_as_such():
    q = torch.randn(1, 1, 4, 8, dtype=torch.float64).requires_grad_()

    def loss_fn(_):
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            return F.scaled_dot_product_attention(q, q, q).square().sum()

    with pytest.raises(SecondDerivativeError, match="no second derivative exists"):
        probe(loss_fn, [q], None)


def test_missing_curvature_in_one_small_tensor_is_caught():
    """A tensor that hardly moves the whole norm must not hide."""
    big = torch.randn(200, dtype=torch.float64).requires_grad_()
    small = torch.randn(2, dtype=torch.float64).requires_grad_()

    def loss_fn(_):
        return big.pow(4).sum() + 0.05 * OnceOnlySquare.apply(small).sum()

    with pytest.raises(SecondDerivativeError, match=r"worst tensor params\[1\]"):
        probe(loss_fn, [big, small], None)


@pytest.mark.parametrize("family", TOWERS)
def test_every_family_passes(family):
    model = tiny_clip(family, torch.float32)
    errors = check_model(model, pairs(4, torch.float32), Settings())
    assert errors["worst_difference"] < 1e-5
    assert errors["symmetry"] < 1e-12
    assert errors["precision"] < 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_once_only_kernel_in_a_clip_model_stops_the_measurement(monkeypatch, dtype):
    """Wrong in both types: the central difference sees it; in float32 alone: float64 does."""
    gelu = F.gelu

    class OnceOnlyGelu(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return gelu(x)

        @staticmethod
        def backward(ctx, gradient):
            x = ctx.saved_tensors[0].detach().requires_grad_()
            with torch.enable_grad():
                (slope,) = torch.autograd.grad(gelu(x).sum(), x)
            return gradient * slope

    def patched(x, approximate="none"):
        return OnceOnlyGelu.apply(x) if x.dtype == dtype else gelu(x, approximate=approximate)

    monkeypatch.setattr(F, "gelu", patched)
    with pytest.raises(SecondDerivativeError, match="nothing was measured"):
        check_model(tiny_clip("vmamba", torch.float32), pairs(4, torch.float32), Settings())


class OnceOnlyScan(torch.autograd.Function):
    """What mamba_ssm's kernels do: right values, right gradients, and no graph behind them."""

    @staticmethod
    def forward(ctx, *args):
        ctx.save_for_backward(*args[:7])
        ctx.rest = args[7:]
        return selective_scan(*args)

    @staticmethod
    def backward(ctx, gradient):
        inputs = [t.detach().requires_grad_() for t in ctx.saved_tensors]
        with torch.enable_grad():
            y = selective_scan(*inputs, *ctx.rest)
        return *torch.autograd.grad(y, inputs, gradient.detach()), None, None


@pytest.mark.parametrize("family", ["vmamba", "simba"])
def test_a_once_only_scan_is_caught_in_the_whole_and_alone(family, monkeypatch):
    model, batch = tiny_clip(family, torch.float32), pairs(4, torch.float32)
    monkeypatch.setattr(layers, "selective_scan", OnceOnlyScan.apply)
    for block in ("all", "scan"):
        with pytest.raises(SecondDerivativeError, match="nothing was measured"):
            check_model(model, batch, Settings(block=block))


def test_a_wrong_scan_that_hides_in_the_whole_stops_the_measurement(monkeypatch):
    """Its curvature may be too small to be judged beside that of all other weights."""
    model = tiny_clip("vmamba", torch.float32)
    real, asked = module.check_model, []

    def lenient(model, batch, settings, **rest):
        asked.append(settings.block)
        if settings.block == "all":
            return {"block": "all"}
        return real(model, batch, settings, **rest)

    monkeypatch.setattr(module, "check_model", lenient)
    monkeypatch.setattr(layers, "selective_scan", OnceOnlyScan.apply)
    with pytest.raises(SecondDerivativeError):
        module.measure(model, [pairs(4, torch.float32)], progress=False)
    assert asked == ["all", "scan"]


def test_training_mode_and_other_models_are_refused():
    with pytest.raises(ValueError, match="training mode"):
        ClipLoss(tiny_clip("vit").train())
    with pytest.raises(ValueError, match="Linear is no CLIP model: it lacks"):
        ClipLoss(torch.nn.Linear(2, 2).eval())
