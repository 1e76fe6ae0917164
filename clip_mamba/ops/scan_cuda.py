"""The selective scan through mamba_ssm's CUDA kernel, with a guard against silent curvature loss.

mamba_ssm's backward calls raw kernels and is not marked once-differentiable: its gradient can be
differentiated again without an error, and the result lacks the scan's curvature. The guard makes
that an error. It costs nothing unless a graph of the gradient is asked for.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from clip_mamba.ops.arguments import ScanArguments

REMEDY = (
    "mamba_ssm's CUDA scan has no second derivative (its own would silently lack curvature). "
    "Use selective_scan(..., backend='torch'), or run the model inside "
    "`with clip_mamba.ops.selective_scan.twice_differentiable():`."
)


def scan_cuda(args: ScanArguments) -> Tensor:
    """Run ``mamba_ssm.ops.selective_scan_interface.selective_scan_fn``.

    Args:
        args: Checked arguments, on a CUDA device.

    Returns:
        y, (batch, dim, length), in the type of u.

    Raises:
        ValueError: If the inputs are float64, which the kernel does not have.
    """
    if args.compute_dtype == torch.float64:
        raise ValueError("backend='cuda' has no float64; use backend='torch' for u in float64.")
    # Imported here because it needs a GPU build, and only GPU users need it.
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    dtype = args.u.dtype
    tensors = [
        *(args.u, args.delta.to(dtype), args.A.float(), args.B.to(dtype), args.C.to(dtype)),
        *(None if t is None else t.float() for t in (args.D, args.delta_bias)),
    ]
    relay: dict[str, Tensor] = {}
    guarded = list(_GuardInputs.apply(relay, *tensors))
    u, delta, A, B, C, D, delta_bias = guarded
    y = selective_scan_fn(
        *(u, delta, A, B, C, D), delta_bias=delta_bias, delta_softplus=args.delta_softplus
    )
    return _GuardOutput.apply(relay, y)


class _GuardOutput(Function):
    """Identity; its backward hands y's gradient to the guard of the inputs."""

    @staticmethod
    def forward(ctx: Any, relay: dict[str, Tensor], y: Tensor) -> Tensor:
        ctx.relay = relay
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        if torch.is_grad_enabled():
            ctx.relay["grad_y"] = grads[0]
        return None, grads[0]


class _GuardInputs(Function):
    """Identity; its backward ties the gradients to all that they depend on, through a refusal."""

    @staticmethod
    def forward(
        ctx: Any, relay: dict[str, Tensor], *tensors: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        ctx.relay = relay
        ctx.save_for_backward(*tensors)
        return tuple(None if t is None else t.view_as(t) for t in tensors)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # create_graph=True
            grads = _Refuse.apply(len(grads), *grads, *ctx.saved_tensors, ctx.relay.pop("grad_y"))
        return None, *grads


class _Refuse(Function):
    """Pass the gradients on; raise when someone differentiates them."""

    @staticmethod
    def forward(ctx: Any, count: int, *tensors: Tensor | None) -> tuple[Tensor | None, ...]:
        return tuple(None if t is None else t.view_as(t) for t in tensors[:count])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, ...]:
        raise RuntimeError(REMEDY)
