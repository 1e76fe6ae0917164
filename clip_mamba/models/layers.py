"""Layers that both Mamba families use, all channel-last: (batch, height, width, channels)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from clip_mamba.ops.selective_scan import selective_scan


def conv2d_nhwc(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """Apply a convolution to a channel-last map.

    The permuted views are what torch calls channels_last memory, for which oneDNN has its
    fastest kernels: no copy is made here (2 to 4 times faster than on contiguous NCHW).

    Args:
        x: Feature map, (b, h, w, d).
        conv: Any 2-D convolution.

    Returns:
        Feature map, (b, h', w', d').
    """
    return conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def causal_conv1d(x: Tensor, conv: nn.Conv1d) -> Tensor:
    """Convolve each channel over the present and the ``kernel - 1`` earlier positions.

    Args:
        x: Sequence, (b, l, d).
        conv: A depthwise 1-D convolution; its own padding is not used.

    Returns:
        Sequence, (b, l, d).
    """
    length, reach = x.shape[1], conv.weight.shape[-1] - 1
    # As a channels_last 2-D convolution of height 1; see conv2d_nhwc.
    x = x.transpose(1, 2).unsqueeze(2)  # (b, d, 1, l)
    x = F.conv2d(x, conv.weight.unsqueeze(2), conv.bias, padding=(0, reach), groups=conv.groups)
    return x[..., :length].squeeze(2).transpose(1, 2)


def drop_path_rates(last: float, blocks: int) -> list[float]:
    """Let stochastic depth grow linearly from 0 in the first block.

    Args:
        last: Rate of the last block.
        blocks: Number of blocks.

    Returns:
        One rate per block. (timm's own function computes them as tensors, which fails where a
        model is built on the meta device.)
    """
    return [last * i / max(blocks - 1, 1) for i in range(blocks)]


class SelectiveScan(nn.Module):
    """The scan as a module, so that tools can find, time, count or switch it.

    It runs in float32 (float64 for float64 weights) whatever autocast says: the recurrence
    multiplies and sums hundreds of terms, and half precision overflows there.
    """

    def __init__(self, backend: str = "auto") -> None:
        """Build the module; it has no parameters of its own.

        Args:
            backend: As in :func:`clip_mamba.ops.selective_scan.selective_scan`.
        """
        super().__init__()
        self.backend = backend

    def forward(
        self, u: Tensor, dt: Tensor, A_log: Tensor, B: Tensor, C: Tensor, D: Tensor, bias: Tensor
    ) -> Tensor:
        """Scan.

        Args:
            u: Input, (b, d, l).
            dt: Step sizes before bias and softplus, (b, d, l).
            A_log: log(-A), (d, n).
            B: Input projection, (b, groups, n, l).
            C: Output projection, (b, groups, n, l).
            D: Skip weight, (d,).
            bias: Bias of the step sizes, (d,).

        Returns:
            y, (b, d, l), at least float32.
        """
        dtype = torch.promote_types(A_log.dtype, torch.float32)
        u, dt, A_log, B, C, D, bias = (x.to(dtype) for x in (u, dt, A_log, B, C, D, bias))
        if u.is_meta:  # shapes only, for counting
            return torch.empty_like(u)
        return selective_scan(u, dt, -torch.exp(A_log), B, C, D, bias, True, self.backend)


class Downsample(nn.Module):
    """Halve the resolution: convolution 3x3 with stride 2, then LayerNorm."""

    def __init__(self, in_chs: int, out_chs: int, eps: float = 1e-5) -> None:
        """Build the layer.

        Args:
            in_chs: Input channels.
            out_chs: Output channels.
            eps: Epsilon of the LayerNorm.
        """
        super().__init__()
        self.conv = nn.Conv2d(in_chs, out_chs, kernel_size=3, stride=2, padding=1)
        self.norm = nn.LayerNorm(out_chs, eps=eps)

    def forward(self, x: Tensor) -> Tensor:
        """Return the map at half the resolution, rounded up.

        Args:
            x: Feature map, (b, h, w, d).

        Returns:
            Feature map, (b, ceil(h/2), ceil(w/2), d').
        """
        return self.norm(conv2d_nhwc(x, self.conv))


def mamba_dt_bias(
    shape: tuple[int, ...], dt_min: float = 1e-3, dt_max: float = 0.1, floor: float = 1e-4
) -> Tensor:
    """Draw biases b so that softplus(b) is log-uniform between ``dt_min`` and ``dt_max``.

    This is Mamba's own initialisation of the step size (Gu & Dao 2023, section 3.6).

    Args:
        shape: Shape of the result.
        dt_min: Smallest step.
        dt_max: Largest step.
        floor: Steps are not smaller than this.

    Returns:
        The biases.
    """
    low, high = math.log(dt_min), math.log(dt_max)
    dt = torch.exp(torch.rand(shape) * (high - low) + low).clamp(min=floor)
    return dt + torch.log(-torch.expm1(-dt))  # the inverse of softplus


def s4d_real_log(rows: int, state: int) -> Tensor:
    """Return log(1), ..., log(state) in each row: the S4D-real start of -A.

    Args:
        rows: Number of channels.
        state: Size of the state.

    Returns:
        (rows, state) in float32.
    """
    return torch.log(torch.arange(1, state + 1, dtype=torch.float32)).repeat(rows, 1)
