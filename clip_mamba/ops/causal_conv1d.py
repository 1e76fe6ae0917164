"""The causal depthwise convolution of Mamba: causal-conv1d on CUDA, torch elsewhere."""

import importlib.util

import torch
from torch import Tensor
from torch.nn.functional import conv1d, silu

from clip_mamba.ops import selective_scan

ACTIVATIONS = (None, "silu", "swish")


def causal_conv1d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str | None = None
) -> Tensor:
    """Convolve every channel with its own filter; no output sees a later input.

    Args:
        x: (batch, dim, length).
        weight: (dim, width); the last tap meets the present step.
        bias: (dim,), or None.
        activation: None, or ``silu`` (also called ``swish``).

    Returns:
        (batch, dim, length), in the type of ``x``.
    """
    _check(x, weight, bias, activation)
    if _use_cuda(x):
        from causal_conv1d import causal_conv1d_fn  # exists on GPU machines only

        return causal_conv1d_fn(x, weight, bias, activation=activation)
    dim, width = weight.shape
    y = conv1d(x, weight.unsqueeze(1), bias, padding=width - 1, groups=dim)
    y = y[..., : x.shape[-1]]
    return y if activation is None else silu(y)


def _use_cuda(x: Tensor) -> bool:
    """Return whether causal-conv1d can and may run: it too has no second derivative."""
    return (
        x.device.type == "cuda"
        and x.dtype != torch.float64
        and not selective_scan.must_be_twice_differentiable()
        and importlib.util.find_spec("causal_conv1d") is not None
    )


def _check(x: Tensor, weight: Tensor, bias: Tensor | None, activation: str | None) -> None:
    if x.ndim != 3:
        raise ValueError(f"x must be (batch, dim, length), got shape {tuple(x.shape)}.")
    dim = x.shape[1]
    if weight.ndim != 2 or weight.shape[0] != dim:
        raise ValueError(f"weight must be ({dim}, width), got shape {tuple(weight.shape)}.")
    if bias is not None and bias.shape != (dim,):
        raise ValueError(f"bias must be ({dim},), got shape {tuple(bias.shape)}.")
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {ACTIVATIONS}, got {activation!r}.")
