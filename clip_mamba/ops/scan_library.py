"""The CPU scan as operators of torch.library, which torch.compile takes into its graph as they are.

Three operators, each the gradient of the one before, with the kernels and the rules of
:mod:`clip_mamba.ops.scan_cpu`. They are for compiled code: called one by one they cost some ten
microseconds more than that module's autograd functions. All tensors are in one type, float32 or
float64, and D and delta_bias are there.
"""

from typing import Any

import torch
from torch import Tensor

from clip_mamba.ops import scan_cpu
from clip_mamba.ops.scan_kernels import LANES, MAX_CHUNK

Seven = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
Eight = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


@torch.library.custom_op("clip_mamba::selective_scan", mutates_args=(), device_types="cpu")
def scan(
    softplus: bool,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return y and h at the starts of chunks, which the gradient needs."""
    inputs = _contiguous(u, delta, A, B, C, D, delta_bias)
    return scan_cpu.forward(softplus, inputs, keep_starts=True)


@scan.register_fake
def _(softplus: bool, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, *others: Tensor) -> Any:
    batch, dim, length = u.shape
    groups, state = B.shape[1:3]
    strips = (dim // groups + LANES - 1) // LANES
    later = (length + MAX_CHUNK - 1) // MAX_CHUNK - 1
    return u.new_empty(u.shape), u.new_empty(later, batch * groups * strips, state, LANES)


@torch.library.custom_op("clip_mamba::selective_scan_gradient", mutates_args=(), device_types="cpu")
def gradient(
    softplus: bool,
    starts: Tensor,
    gy: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor,
) -> Seven:
    """Return the gradients of u, delta, A, B, C, D and delta_bias."""
    starts, gy, *inputs = _contiguous(starts, gy, u, delta, A, B, C, D, delta_bias)
    return _separate(scan_cpu.gradient(softplus, starts, gy, tuple(inputs)))


@gradient.register_fake
def _(softplus: bool, starts: Tensor, gy: Tensor, *inputs: Tensor) -> Any:
    return tuple(x.new_empty(x.shape) for x in inputs)


@torch.library.custom_op(
    "clip_mamba::selective_scan_curvature", mutates_args=(), device_types="cpu"
)
def curvature(
    softplus: bool,
    starts: Tensor,
    gy: Tensor,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    delta_bias: Tensor,
    direction: list[Tensor],
) -> Eight:
    """Return the tangents of y and of all gradients along ``direction``."""
    starts, gy, *inputs = _contiguous(starts, gy, u, delta, A, B, C, D, delta_bias)
    along = _contiguous(*direction)
    return _separate(scan_cpu.curvature(softplus, starts, gy, tuple(inputs), along))


@curvature.register_fake
def _(softplus: bool, starts: Tensor, gy: Tensor, *inputs: Any) -> Any:
    return tuple(x.new_empty(x.shape) for x in (gy, *inputs[:-1]))


def _contiguous(*tensors: Tensor) -> tuple[Tensor, ...]:
    return tuple(x.contiguous() for x in tensors)


def _separate(results: tuple[Tensor, ...]) -> Any:
    """Return the results, those that share memory with others copied: an operator's rule."""
    return tuple(x.clone() if x._base is not None else x for x in results)


def _keep_scan(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.softplus = inputs[0]
    ctx.save_for_backward(output[1], *inputs[1:])


def _scan_backward(ctx: Any, gy: Tensor, _: Tensor) -> tuple[Any, ...]:
    starts, *inputs = ctx.saved_tensors
    return None, *gradient(ctx.softplus, starts, gy, *inputs)


def _keep_gradient(ctx: Any, inputs: tuple[Any, ...], output: Seven) -> None:
    ctx.softplus = inputs[0]
    ctx.save_for_backward(*inputs[1:])


def _gradient_backward(ctx: Any, *direction: Tensor) -> tuple[Any, ...]:
    return None, None, *curvature(ctx.softplus, *ctx.saved_tensors, list(direction))


scan.register_autograd(_scan_backward, setup_context=_keep_scan)
gradient.register_autograd(_gradient_backward, setup_context=_keep_gradient)
