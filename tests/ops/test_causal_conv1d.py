import sys
from types import ModuleType

import pytest
import torch
from torch.nn.functional import silu

from clip_mamba.ops import causal_conv1d as module
from clip_mamba.ops.causal_conv1d import causal_conv1d
from clip_mamba.ops.selective_scan import twice_differentiable


def by_hand(x, weight, bias):
    width = weight.shape[1]
    y = torch.zeros_like(x)
    for t in range(x.shape[2]):
        for j in range(width):
            if t - j >= 0:
                y[:, :, t] += weight[:, width - 1 - j] * x[:, :, t - j]
    return y if bias is None else y + bias[:, None]


@pytest.mark.parametrize("length", [1, 2, 9])
@pytest.mark.parametrize("with_bias", [True, False])
def test_equals_the_sum_by_hand(length, with_bias):
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, length, generator=rng, dtype=torch.float64)
    weight = torch.randn(3, 4, generator=rng, dtype=torch.float64)
    bias = torch.randn(3, generator=rng, dtype=torch.float64) if with_bias else None
    truth = by_hand(x, weight, bias)
    torch.testing.assert_close(causal_conv1d(x, weight, bias), truth)
    torch.testing.assert_close(causal_conv1d(x, weight, bias, "silu"), silu(truth))


def test_second_derivative():
    rng = torch.Generator().manual_seed(0)
    given = [
        torch.randn(s, generator=rng, dtype=torch.float64, requires_grad=True)
        for s in ((1, 2, 5), (2, 3), (2,))
    ]
    assert torch.autograd.gradgradcheck(lambda *a: causal_conv1d(*a, "silu"), given)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(2, 3), torch.zeros(3, 4)), r"x must be \(batch, dim, length\)"),
        ((torch.zeros(2, 3, 5), torch.zeros(4, 3)), r"weight must be \(3, width\)"),
        ((torch.zeros(2, 3, 5), torch.zeros(3, 4), torch.zeros(4)), r"bias must be \(3,\)"),
        ((torch.zeros(2, 3, 5), torch.zeros(3, 4), None, "relu"), "activation must be one of"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        causal_conv1d(*arguments)


def test_cuda_kernel_is_used_when_there(monkeypatch):
    stand_in = ModuleType("causal_conv1d")
    stand_in.causal_conv1d_fn = lambda x, weight, bias, activation: (activation, bias)
    monkeypatch.setitem(sys.modules, "causal_conv1d", stand_in)
    monkeypatch.setattr(module, "_use_cuda", lambda x: True)
    assert causal_conv1d(torch.zeros(1, 3, 5), torch.zeros(3, 4), None, "silu") == ("silu", None)


def test_cuda_kernel_is_avoided_for_second_derivatives(monkeypatch):
    class OnCuda:
        device, dtype = torch.device("cuda"), torch.float32

    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: object())
    assert module._use_cuda(OnCuda())
    with twice_differentiable():
        assert not module._use_cuda(OnCuda())
