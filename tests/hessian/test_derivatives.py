"""The replaced operations have PyTorch's own values, gradients and second derivatives."""

import contextlib

import pytest
import torch
from tiny_clips import TOWERS, pairs, tiny_clip
from torch.nn import functional as F

from clip_mamba.hessian import ClipLoss, HessianOperator
from clip_mamba.hessian import clip_loss as module
from clip_mamba.hessian.derivatives import FastDerivatives

CASES = {
    "depthwise": (
        lambda x, w, b: F.conv2d(x, w, b, padding=1, groups=6), (2, 6, 5, 4), (6, 1, 3, 3), 6,
    ),
    "strided": (
        lambda x, w, b: F.conv2d(x, w, b, (2, 1), (1, 0), groups=3), (2, 6, 5, 4), (9, 2, 3, 3), 9,
    ),
    "bare": (lambda x, w: F.conv2d(x, w, dilation=2, groups=2), (2, 4, 6, 6), (4, 2, 2, 2)),
    "causal": (lambda x, w, b: F.conv1d(x, w, b, padding=3, groups=6), (2, 6, 5), (6, 1, 4), 6),
    "layer norm": (lambda x, w, b: F.layer_norm(x, (7,), w, b, 0.1), (2, 3, 7), 7, 7),
    "layer norm of maps": (
        lambda x, w, b: F.layer_norm(x, (3, 7), w, b), (2, 3, 7), (3, 7), (3, 7),
    ),
    "gelu": (F.gelu, (40,)),
    "silu": (F.silu, (40,)),
}  # fmt: skip


def derivatives(f, tensors, mode):
    """Return value, gradient and a Hessian-vector product of a nonlinear function of f."""
    random = torch.Generator().manual_seed(1)
    with mode:
        y = f(*tensors)
    weights = torch.randn(y.shape, generator=random, dtype=y.dtype)
    gradient = torch.autograd.grad((y.sin() * weights).sum(), tensors, create_graph=True)
    v = [torch.randn(t.shape, generator=random, dtype=y.dtype) for t in tensors]
    product = torch.autograd.grad(gradient, tensors, v)
    return [t.detach() for t in (y, *gradient, *product)]


@pytest.mark.parametrize("name", CASES)
def test_second_derivatives_are_pytorchs(name):
    f, *shapes = CASES[name]
    torch.manual_seed(0)
    tensors = [3 * torch.randn(shape, dtype=torch.float64) for shape in shapes]
    tensors = [t.requires_grad_() for t in tensors]
    own = derivatives(f, tensors, FastDerivatives())
    expected = derivatives(f, tensors, contextlib.nullcontext())
    for a, b in zip(own, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_only_what_is_known_is_replaced_and_only_with_gradients():
    x, w = torch.randn(1, 4, 5, 5), torch.randn(4, 1, 3, 3, requires_grad=True)
    full = torch.randn(4, 4, 3, 3, requires_grad=True)
    with FastDerivatives():
        assert "Convolve" in type(F.conv2d(x, w, groups=4).grad_fn).__name__
        assert "Convolution" in type(F.conv2d(x, full).grad_fn).__name__
        assert "Convolution" in type(F.conv2d(x, w, padding="same", groups=4).grad_fn).__name__
        assert "Gelu" in type(F.gelu(w, approximate="tanh").grad_fn).__name__
        with torch.no_grad():
            assert F.conv2d(x, w, groups=4).grad_fn is None
    assert "Convolution" in type(F.conv2d(x, w, groups=4).grad_fn).__name__


@pytest.mark.parametrize("family", TOWERS)
def test_whole_models_agree(family, monkeypatch):
    model, batch = tiny_clip(family), pairs(4)
    params = list(model.parameters())
    with HessianOperator(ClipLoss(model), params, batch) as operator:
        v = torch.randn(operator.size, dtype=torch.float64)
        own = operator.matvec(v)
    monkeypatch.setattr(module, "FastDerivatives", contextlib.nullcontext)
    with HessianOperator(ClipLoss(model), params, batch) as operator:
        torch.testing.assert_close(
            own, operator.matvec(v), rtol=1e-9, atol=1e-9 * float(own.norm())
        )


def test_padding_is_left_out_and_changes_nothing():
    model, (images, texts) = tiny_clip("vit"), pairs(4)
    short = texts.clone()
    short[:, 3], short[:, 4] = 11, 0  # the end token a place earlier, then padding
    seen = []
    hook = model.transformer.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape))
    features = module.encode_text(model, short)
    hook.remove()
    assert seen[0][:2] == (4, 4)
    expected = F.normalize(model.encode_text(short), dim=-1)
    torch.testing.assert_close(F.normalize(features, dim=-1), expected, rtol=1e-12, atol=1e-12)
    loss = ClipLoss(model)
    assert float(loss((images, texts)).detach()) != float(loss((images, short)).detach())
