"""The pieces, against plain statements of what they do."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from clip_mamba.models.layers import (
    SelectiveScan,
    causal_conv1d,
    conv2d_nhwc,
    drop_path_rates,
    mamba_dt_bias,
    s4d_real_log,
)
from clip_mamba.models.vmamba import SS2D
from clip_mamba.ops.selective_scan import selective_scan


def test_ss2d_is_four_scans():
    """The mixer equals its definition: per direction reorder, project, scan, put back, add."""
    torch.manual_seed(0)
    mixer = SS2D(16, d_state=2)
    nn.init.normal_(mixer.x_proj_weight, std=0.3)
    x = torch.randn(2, 3, 4, 32)
    expected = torch.zeros_like(x)
    grid = torch.arange(12).view(3, 4)
    for k, order in enumerate([grid, grid.T, grid.flip(0, 1), grid.T.flip(0, 1)]):
        order = order.flatten()
        u = x.flatten(1, 2)[:, order].transpose(1, 2)  # (b, d, l)
        projected = torch.einsum("bdl,cd->bcl", u, mixer.x_proj_weight[k])
        dt, B, C = projected.split((mixer.dt_rank, 2, 2), dim=1)
        delta = torch.einsum("brl,dr->bdl", dt, mixer.dt_projs_weight[k])
        rows = slice(32 * k, 32 * (k + 1))
        y = selective_scan(
            u,
            delta,
            -mixer.A_logs[rows].exp(),
            B.unsqueeze(1),
            C.unsqueeze(1),
            mixer.Ds[rows],
            mixer.dt_projs_bias[k],
            delta_softplus=True,
            backend="reference",
        )
        back = torch.empty_like(expected.flatten(1, 2))
        back[:, order] = y.transpose(1, 2)
        expected += back.view_as(expected)
    torch.testing.assert_close(mixer.scan(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_scan_does_not_overflow_in_half_precision(dtype):
    """A long memory sums 2,000 terms of 100 to more than float16 holds (65,504)."""
    ones = torch.ones(1, 8, 2000, dtype=dtype)
    B = torch.ones(1, 1, 1, 2000, dtype=dtype)
    zeros = torch.zeros(8)
    A_log = torch.full((8, 1), -30.0)
    with torch.autocast("cpu", dtype):
        y = SelectiveScan()(100 * ones, 3 * ones, A_log, B, B, zeros, zeros)
    expected = 100 * F.softplus(torch.tensor(3.0)) * 2000
    assert y.dtype == torch.float32
    torch.testing.assert_close(y[..., -1], expected.expand(1, 8), rtol=1e-3, atol=0)


def test_causal_convolution():
    conv = nn.Conv1d(6, 6, 4, groups=6)
    x = torch.randn(2, 9, 6)
    expected = conv(F.pad(x.transpose(1, 2), (3, 0))).transpose(1, 2)
    torch.testing.assert_close(causal_conv1d(x, conv), expected)
    torch.testing.assert_close(causal_conv1d(x[:, :1], conv), expected[:, :1])


def test_channel_last_convolution():
    conv = nn.Conv2d(4, 4, 3, padding=1, groups=4)
    x = torch.randn(2, 5, 6, 4)
    expected = conv(x.permute(0, 3, 1, 2).contiguous()).permute(0, 2, 3, 1)
    torch.testing.assert_close(conv2d_nhwc(x, conv), expected)


def test_initial_values():
    steps = F.softplus(mamba_dt_bias((1000,)))
    assert 0.9e-3 < steps.min() < 2e-3
    assert 0.05 < steps.max() < 0.11
    torch.testing.assert_close(s4d_real_log(2, 3).exp(), torch.tensor([[1.0, 2, 3]] * 2))
    assert drop_path_rates(0.3, 4) == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert drop_path_rates(0.3, 1) == [0.0]
