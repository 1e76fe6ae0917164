"""The pieces, against plain statements of what they do."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from clip_mamba.models.layers import (
    causal_conv1d,
    conv2d_nhwc,
    drop_path_rates,
    mamba_dt_bias,
    s4d_real_log,
)
from clip_mamba.models.vmamba import SS2D, fold_directions, unfold_directions
from clip_mamba.ops.selective_scan import selective_scan


def test_directions():
    x = torch.tensor([[0.0, 1, 2], [3, 4, 5]]).view(1, 2, 3, 1)
    paths = unfold_directions([x] * 4)[0, :, 0].tolist()
    assert paths == [
        [0, 1, 2, 3, 4, 5],
        [0, 3, 1, 4, 2, 5],
        [5, 4, 3, 2, 1, 0],
        [5, 2, 4, 1, 3, 0],
    ]
    torch.testing.assert_close(fold_directions(unfold_directions([x] * 4), 2, 3), 4 * x)


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
