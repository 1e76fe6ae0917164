"""Convolution, layer norm and activations whose second derivative is cheap, and still exact.

What PyTorch does twice-differentiably it does not do fast. The double backward of a grouped
convolution loops over the groups in Python's place (one launch per channel of a depthwise
convolution); that of a layer norm is some thirty elementwise passes; that of an activation
evaluates its derivatives anew for every Hessian-vector product although they depend on the
point alone. :class:`FastDerivatives` puts functions in their place that write those formulas
out. It is a ``TorchFunctionMode``, so no model is changed, and what it does not know (double
precision aside, nothing is type- or device-specific) takes PyTorch's own way.

Symbols: x input, g gradient by the output, a cotangent of the gradient by x.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

_aten = torch.ops.aten


class FastDerivatives(TorchFunctionMode):
    """While active, replaces grouped convolutions, layer norms, GELU and SiLU."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call the replacement of ``func``, or ``func`` itself.

        Args:
            func: What was called.
            types: Not used.
            args: Its arguments.
            kwargs: Its keyword arguments.

        Returns:
            Its result.
        """
        replacement = _REPLACEMENTS.get(func) if torch.is_grad_enabled() else None
        result = None if replacement is None else replacement(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {})) if result is None else result


# --- Convolution: three bilinear maps, each the derivative of the others -----------------------


class _Convolve(Function):
    """y = x * w, with x (b, c, ...), w (c', c / groups, ...)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, how: tuple[Any, ...]) -> Tensor:
        ctx.how = how
        ctx.save_for_backward(x, w)
        stride, padding, dilation, groups = how
        return _aten.convolution(
            x, w, None, stride, padding, dilation, False, [0] * len(stride), groups
        )

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, w = ctx.saved_tensors
        need_x, need_w = ctx.needs_input_grad[:2]
        gx = _ByInput.apply(grads[0], w, x, ctx.how) if need_x else None
        return gx, _ByWeight.apply(x, grads[0], w, ctx.how) if need_w else None, None


class _ByInput(Function):
    """The gradient by x, bilinear in g and w."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, w: Tensor, like: Tensor, how: tuple[Any, ...]) -> Tensor:
        ctx.how = how
        ctx.save_for_backward(g, w)
        return _gradients(g, like, w, how, 0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        g, w = ctx.saved_tensors
        need_g, need_w = ctx.needs_input_grad[:2]
        by_g = _Convolve.apply(grads[0], w, ctx.how) if need_g else None
        return by_g, _ByWeight.apply(grads[0], g, w, ctx.how) if need_w else None, None, None


class _ByWeight(Function):
    """The gradient by w, bilinear in x and g."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, g: Tensor, like: Tensor, how: tuple[Any, ...]) -> Tensor:
        ctx.how = how
        ctx.save_for_backward(x, g)
        return _gradients(g, x, like, how, 1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, g = ctx.saved_tensors
        need_x, need_g = ctx.needs_input_grad[:2]
        by_x = _ByInput.apply(g, grads[0], x, ctx.how) if need_x else None
        return by_x, _Convolve.apply(x, grads[0], ctx.how) if need_g else None, None, None


def _gradients(g: Tensor, x: Tensor, w: Tensor, how: tuple[Any, ...], which: int) -> Tensor:
    stride, padding, dilation, groups = how
    mask = [which == 0, which == 1, False]
    fixed = (None, stride, padding, dilation, False, [0] * len(stride), groups, mask)
    return _aten.convolution_backward(g, x.detach(), w.detach(), *fixed)[which]


def _convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor | None:
    spatial = weight.ndim - 2
    if groups == 1 or isinstance(padding, str) or x.ndim != weight.ndim:
        return None  # without groups, PyTorch's double backward is a few calls as well
    how = (*(_each(value, spatial) for value in (stride, padding, dilation)), groups)
    y = _Convolve.apply(x, weight, how)
    return y if bias is None else y + bias.view(-1, *[1] * spatial)


def _each(value: Any, count: int) -> list[int]:
    listed = [value] if isinstance(value, int) else list(value)
    return listed * count if len(listed) == 1 else listed


# --- Layer norm --------------------------------------------------------------------------------


class _LayerNorm(Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, shape: Sequence[int], weight: Tensor, bias: Tensor, eps: float
    ) -> Tensor:
        y, mean, rstd = torch.native_layer_norm(x, shape, weight, bias, eps)
        ctx.shape = shape
        ctx.save_for_backward(x, weight, bias, mean, rstd)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, rstd = ctx.saved_tensors
        gx, gw, gb = _LayerNormGradient.apply(
            grads[0].contiguous(), x, weight, bias, mean, rstd, ctx.shape
        )
        return gx, None, gw, gb, None


class _LayerNormGradient(Function):
    """gx = rstd P(w g), gw = sum g n, gb = sum g; n = (x - mean) rstd, P as below.

    P z = z - mean(z) - n mean(n z) is symmetric, and dn = rstd P dx, d rstd = -rstd^2 mean(n dx).
    """

    @staticmethod
    def forward(ctx: Any, *tensors: Any) -> tuple[Tensor, ...]:
        g, x, weight, bias, mean, rstd, shape = tensors
        ctx.shape = shape
        ctx.save_for_backward(g, x, weight, mean, rstd)
        return torch.ops.aten.native_layer_norm_backward(
            g, x, shape, mean, rstd, weight, bias, [True, True, True]
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
        g, x, w, mean, rstd = ctx.saved_tensors
        a, by_w, by_b = cotangents
        a, ones = a.contiguous(), torch.ones_like(w)
        axes = tuple(range(x.ndim - w.ndim, x.ndim))
        outer = tuple(range(x.ndim - w.ndim))

        def project(z: Tensor) -> Tensor:  # rstd P z, one fused pass
            return torch.ops.aten.native_layer_norm_backward(
                z, x, ctx.shape, mean, rstd, ones, None, [True, False, False]
            )[0]

        n, h = (x - mean).mul_(rstd), g * w
        pa = project(a)
        by_g = torch.addcmul(by_b.expand_as(x), pa, w).addcmul_(n, by_w)
        product = g * pa
        weight = product.sum(outer) if outer else product
        # <a, gx> varies with n and with rstd; <by_w, gw> with n.
        curved = (h * pa).mean(axes, keepdim=True)  # rstd (mean(ah) - mean a mean h - ...)
        q = (h * n).mean(axes, keepdim=True) * a
        q.addcmul_((a * n).mean(axes, keepdim=True), h).mul_(-rstd).addcmul_(g, by_w)
        by_x = project(q).sub_(n.mul_(rstd * curved))
        return by_g, by_x, weight, None, None, None, None


def _layer_norm(
    x: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor | None:
    if weight is None or bias is None:
        return None
    return _LayerNorm.apply(x, list(normalized_shape), weight, bias, eps)


# --- Activations -------------------------------------------------------------------------------


class _Pointwise(Function):
    """y = f(x) with f' and f'' evaluated once, when the graph is built."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, f: Callable[..., tuple[Tensor, ...]]) -> Tensor:
        y, first, second = f(x)
        ctx.save_for_backward(x, first, second)
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return _PointwiseGradient.apply(grads[0], *ctx.saved_tensors), None


class _PointwiseGradient(Function):
    @staticmethod
    def forward(ctx: Any, g: Tensor, x: Tensor, first: Tensor, second: Tensor) -> Tensor:
        ctx.save_for_backward(first, g * second if ctx.needs_input_grad[1] else second)
        return g * first

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        first, curved = ctx.saved_tensors
        return grads[0] * first, grads[0] * curved if ctx.needs_input_grad[1] else None, None, None


def _gelu_derivatives(x: Tensor) -> tuple[Tensor, ...]:
    cdf = torch.erf(x * math.sqrt(0.5)).add_(1).mul_(0.5)
    pdf = torch.exp(x.square().mul_(-0.5)).mul_(1 / math.sqrt(2 * math.pi))
    return F.gelu(x), torch.addcmul(cdf, x, pdf), pdf * (2 - x.square())


def _silu_derivatives(x: Tensor) -> tuple[Tensor, ...]:
    s = torch.sigmoid(x)
    slope = s * (1 - s)
    return F.silu(x), torch.addcmul(s, x, slope), slope * (2 + x * (1 - 2 * s))


def _gelu(x: Tensor, approximate: str = "none") -> Tensor | None:
    return _Pointwise.apply(x, _gelu_derivatives) if approximate == "none" else None


def _silu(x: Tensor, inplace: bool = False) -> Tensor:
    return _Pointwise.apply(x, _silu_derivatives)


_REPLACEMENTS: dict[Callable[..., Any], Callable[..., Tensor | None]] = {
    F.conv1d: _convolution,
    F.conv2d: _convolution,
    F.layer_norm: _layer_norm,
    F.gelu: _gelu,
    F.silu: _silu,
}
