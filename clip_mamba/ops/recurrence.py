"""The first-order linear recurrence along the first axis, differentiable to any order.

h_t = a_t h_{t-1} + b_t, with h before the start equal to zero. Its gradient is the same
recurrence run the other way in time,
    grad_b_t = a_{t+1} grad_b_{t+1} + grad_h_t,    grad_a_t = grad_b_t h_{t-1},
so the backward below calls the forward again and every derivative exists.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

# Below this many numbers per time step the cost is launching, so fewer, larger steps win.
_SEQUENTIAL_FROM = 1 << 14


def linear_recurrence(a: Tensor, b: Tensor, reverse: bool = False) -> Tensor:
    """Solve h_t = a_t h_{t-1} + b_t for all t.

    Args:
        a: Factors, (length, ...); the first one in the order of time is never used.
        b: Terms, shaped like ``a``.
        reverse: Run from the last step to the first: h_t = a_t h_{t+1} + b_t.

    Returns:
        h, shaped like ``b``.
    """
    return _LinearRecurrence.apply(a, b, reverse)


class _LinearRecurrence(Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, reverse: bool) -> Tensor:
        h = _solve(a, b, reverse)
        ctx.reverse = reverse
        ctx.save_for_backward(a, h)
        return h

    @staticmethod
    def backward(ctx: Any, grad_h: Tensor) -> tuple[Tensor | None, Tensor, None]:  # type: ignore[override]
        a, h = ctx.saved_tensors
        back = -1 if ctx.reverse else 1
        grad_b = linear_recurrence(shift(a, -back), grad_h, not ctx.reverse)
        grad_a = grad_b * shift(h, back) if ctx.needs_input_grad[0] else None
        return grad_a, grad_b, None


def shift(x: Tensor, steps: int) -> Tensor:
    """Move ``x`` by one step along the first axis and fill with zeros.

    Args:
        x: Any tensor with a first axis.
        steps: 1 gives x_{t-1} at t, -1 gives x_{t+1} at t.

    Returns:
        A tensor of the same shape.
    """
    if x.shape[0] == 0:
        return x
    zero = torch.zeros_like(x[:1])
    return torch.cat([zero, x[:-1]] if steps == 1 else [x[1:], zero])


def _solve(a: Tensor, b: Tensor, reverse: bool) -> Tensor:
    length = b.shape[0]
    per_step = b.numel() // max(length, 1)
    if length < 16 or (a.device.type == "cpu" and per_step >= _SEQUENTIAL_FROM):
        return _sequential(a, b, reverse)
    return _chunked(a, b, reverse)


def _sequential(a: Tensor, b: Tensor, reverse: bool) -> Tensor:
    h = torch.empty_like(b, memory_format=torch.contiguous_format)
    steps = list(zip(a.unbind(0), b.unbind(0), h.unbind(0), strict=True))
    if not steps:
        return h
    order = steps[::-1] if reverse else steps
    last = order[0][2].copy_(order[0][1])
    for a_t, b_t, h_t in order[1:]:
        last = torch.addcmul(b_t, a_t, last, out=h_t)
    return h


def _chunked(a: Tensor, b: Tensor, reverse: bool) -> Tensor:
    """Solve chunks of about sqrt(length) steps at once, then carry between them.

    About 3 sqrt(length) launches instead of length, and no division, so no loss of accuracy
    where the factors underflow.

    Args:
        a: Factors, (length, ...).
        b: Terms, shaped like ``a``.
        reverse: Direction of time.

    Returns:
        h, shaped like ``b``.
    """
    length = b.shape[0]
    size = round(length**0.5)
    count = -(-length // size)
    pad = count * size - length
    if pad:  # zero steps, at the end of time, change nothing
        edges = [0, 0] * (b.ndim - 1) + ([pad, 0] if reverse else [0, pad])
        a, b = (torch.nn.functional.pad(x, edges) for x in (a, b))
    a, b = (x.reshape(count, size, *x.shape[1:]) for x in (a, b))
    decay, h = a.clone(), b.clone()  # (count, size, ...)
    order = range(size - 1, -1, -1) if reverse else range(size)
    before = order[0]
    for t in order[1:]:
        h[:, t].addcmul_(a[:, t], h[:, before])
        decay[:, t].mul_(decay[:, before])
        before = t
    carry = _sequential(decay[:, before], h[:, before], reverse)  # (count, ...)
    h.addcmul_(decay, shift(carry, -1 if reverse else 1).unsqueeze(1))
    h = h.flatten(0, 1)
    return h[pad:] if reverse and pad else h[:length]
