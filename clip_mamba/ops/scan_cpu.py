"""The selective scan on CPU tensors: autograd around the fused kernels.

Three functions are chained: the scan, its gradient, and the gradient of that. The first two
keep their inputs and h at the starts of chunks, nothing of size batch x dim x length x state.
Third and higher derivatives go through the plain torch scan.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from clip_mamba.ops import scan_kernels
from clip_mamba.ops.arguments import ScanArguments
from clip_mamba.ops.scan_torch import scan_torch
from clip_mamba.ops.threads import split_work


def scan_cpu(args: ScanArguments) -> Tensor:
    """Run the scan with the compiled kernels.

    Args:
        args: Checked arguments, on the CPU.

    Returns:
        y, (batch, dim, length), in the type of u.
    """
    dtype = args.compute_dtype
    if args.u.numel() == 0 or args.A.shape[1] == 0:
        return scan_torch(args)  # nothing to compute, but the graph must be there
    zeros = args.A.new_zeros(args.A.shape[0], dtype=dtype)
    optional = (zeros if t is None else t for t in (args.D, args.delta_bias))
    tensors = (args.u, args.delta, args.A, args.B, args.C, *optional)
    inputs = [t.to(dtype).contiguous() for t in tensors]
    if torch.compiler.is_compiling():
        from clip_mamba.ops import scan_library

        return scan_library.scan(args.delta_softplus, *inputs)[0].to(args.u.dtype)
    return _Scan.apply(args.delta_softplus, *inputs).to(args.u.dtype)


class _Scan(Function):
    @staticmethod
    def forward(ctx: Any, softplus: bool, *inputs: Tensor) -> Tensor:
        y, starts = forward(softplus, inputs, any(ctx.needs_input_grad))
        ctx.softplus = softplus
        ctx.save_for_backward(starts, *inputs)
        return y

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor | None, ...]:
        starts, *inputs = ctx.saved_tensors
        return None, *_Gradient.apply(ctx.softplus, starts, grad[0].contiguous(), *inputs)


class _Gradient(Function):
    @staticmethod
    def forward(
        ctx: Any, softplus: bool, starts: Tensor, gy: Tensor, *inputs: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.softplus = softplus
        ctx.save_for_backward(starts, gy, *inputs)
        return gradient(softplus, starts, gy, inputs)

    @staticmethod
    def backward(ctx: Any, *direction: Tensor) -> tuple[Tensor | None, ...]:
        tangents = [t.contiguous() for t in direction]
        return None, None, *_Curvature.apply(ctx.softplus, *ctx.saved_tensors, *tangents)


class _Curvature(Function):
    @staticmethod
    def forward(ctx: Any, softplus: bool, starts: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.softplus = softplus
        ctx.save_for_backward(*tensors)
        return curvature(softplus, starts, tensors[0], tensors[1:8], tensors[8:])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        needed = [i for i, t in enumerate(saved) if ctx.needs_input_grad[i + 2]]
        more = torch.is_grad_enabled()
        with torch.enable_grad():
            # Aliases, so that the graph below ends at them and not at the inputs' own history.
            tensors = [t.view_as(t) if t.requires_grad else t for t in saved]
            tensors = [t if t.requires_grad else t.detach().requires_grad_() for t in tensors]
            gy, inputs, direction = tensors[0], tensors[1:8], tensors[8:]
            u, delta, A, B, C, D, bias = inputs
            y = scan_torch(ScanArguments(u, delta, A, B, C, D, bias, ctx.softplus))
            gradient = torch.autograd.grad(y, inputs, gy, create_graph=True)
            curvature = torch.autograd.grad(
                gradient, [gy, *inputs], direction, create_graph=True, materialize_grads=True
            )
            found = torch.autograd.grad(
                curvature, [tensors[i] for i in needed], grads, create_graph=more, allow_unused=True
            )
        result: list[Tensor | None] = [None] * len(saved)
        for i, value in zip(needed, found, strict=True):
            result[i] = value
        return None, None, *result


def forward(softplus: bool, inputs: tuple[Tensor, ...], keep_starts: bool) -> tuple[Tensor, Tensor]:
    """Return y and h at the starts of chunks (none of them without ``keep_starts``)."""
    u, A, B = inputs[0], inputs[2], inputs[3]
    batch, dim, length = u.shape
    groups = B.shape[1]
    chunk = scan_kernels.chunk_size(length)
    chunks = -(-length // scan_kernels.MAX_CHUNK)  # at least as many as there will be
    y = torch.empty_like(u)
    strips = batch * groups * _strips(inputs)
    starts = u.new_empty(chunks - 1 if keep_starts else 0, strips, A.shape[1], scan_kernels.LANES)
    arrays = _arrays(inputs), y.view(-1, length).numpy(), starts.numpy()

    def work(first: int, last: int) -> None:
        flat, *out = arrays
        scan_kernels.forward(first, last, groups, softplus, chunk, *flat, *out)

    split_work(work, strips)
    return y, starts


def gradient(
    softplus: bool, starts: Tensor, gy: Tensor, inputs: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Return the gradients of u, delta, A, B, C, D and delta_bias."""
    parts = _parts(inputs)
    outputs = _outputs(inputs, parts)
    length, groups = inputs[0].shape[2], inputs[3].shape[1]
    fixed = (parts, groups, softplus, scan_kernels.chunk_size(length))
    arrays = (starts.detach().numpy(), _flat(gy), *_arrays(inputs), *(o.numpy() for o in outputs))

    def work(first: int, last: int) -> None:
        scan_kernels.gradient(first, last, *fixed, *arrays)

    split_work(work, parts * inputs[3].shape[0] * groups)
    return _reduced(outputs, inputs)


def curvature(
    softplus: bool,
    starts: Tensor,
    gy: Tensor,
    inputs: tuple[Tensor, ...],
    direction: tuple[Tensor, ...],
) -> tuple[Tensor, ...]:
    """Return the tangents of y and of all gradients along ``direction``."""
    parts = _parts(inputs)
    outputs = _outputs(inputs, parts)
    t_y = torch.empty_like(gy)
    length, groups = inputs[0].shape[2], inputs[3].shape[1]
    fixed = (parts, groups, softplus, scan_kernels.chunk_size(length))
    arrays = (
        *(starts.detach().numpy(), _flat(gy), *_arrays(inputs), *_arrays(direction)),
        *(_flat(t_y), *(o.numpy() for o in outputs)),
    )

    def work(first: int, last: int) -> None:
        scan_kernels.curvature(first, last, *fixed, *arrays)

    split_work(work, parts * inputs[3].shape[0] * groups)
    return t_y, *_reduced(outputs, inputs)


def _flat(x: Tensor) -> Any:
    """Return (batch, dim, length) as a (batch * dim, length) array that shares memory."""
    return x.detach().view(-1, x.shape[2]).numpy()


def _arrays(tensors: tuple[Tensor, ...]) -> tuple[Any, ...]:
    """Return u, delta, A, B, C, D and delta_bias as the kernels' arrays, sharing memory."""
    u, delta, A, B, C, D, bias = (t.detach() for t in tensors)
    pairs = (-1, *B.shape[2:])
    return (
        *(_flat(u), _flat(delta), A.numpy(), B.view(pairs).numpy(), C.view(pairs).numpy()),
        *(D.numpy(), bias.numpy()),
    )


def _strips(inputs: tuple[Tensor, ...]) -> int:
    """Return how many strips of channels a (batch, group) pair has."""
    return -(-(inputs[0].shape[1] // inputs[3].shape[1]) // scan_kernels.LANES)


def _parts(inputs: tuple[Tensor, ...]) -> int:
    """Return into how many parts each (batch, group) pair is cut, so that no thread is idle."""
    batch, groups = inputs[3].shape[:2]
    return min(_strips(inputs), -(-torch.get_num_threads() // (batch * groups)))


def _outputs(inputs: tuple[Tensor, ...], parts: int) -> list[Tensor]:
    """Return where the kernels put gradients, before sums over parts and over the batch."""
    u, A, B = inputs[0], inputs[2], inputs[3]
    rows, state = u.shape[0] * u.shape[1], A.shape[1]
    by_B = (parts, B.shape[0] * B.shape[1], *B.shape[2:])
    return [
        *(u.new_empty(rows, u.shape[2]), u.new_empty(rows, u.shape[2])),
        *(u.new_empty(rows, state), u.new_zeros(by_B), u.new_zeros(by_B)),
        *(u.new_empty(rows, 1), u.new_empty(rows, 1)),
    ]


def _reduced(outputs: list[Tensor], inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return sums over parts (B, C) and over the batch (A, D, delta_bias) in the inputs' shapes."""
    u, delta, A, B, C, D, bias = outputs
    batch = inputs[0].shape[0]
    B, C = (x[0] if len(x) == 1 else x.sum(0) for x in (B, C))
    A, D, bias = (x.view(batch, -1, *x.shape[1:]).sum(0) for x in (A, D, bias))
    found = (u, delta, A, B, C, D, bias)
    return tuple(x.view(like.shape) for x, like in zip(found, inputs, strict=True))
