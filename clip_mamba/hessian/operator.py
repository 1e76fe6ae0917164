"""The Hessian of one mini-batch's loss as a symmetric linear operator on flat vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator
from torch import Tensor

LossFunction = Callable[[Any], Tensor]
#: Cuts a mini-batch into weighted parts: loss(batch) = sum of weight * loss(part).
Split = Callable[[Any], Sequence[tuple[float, Any]]]


class HessianOperator(AbstractContextManager["HessianOperator"]):
    """Products of the Hessian of ``loss_fn(batch)`` with vectors, exact to rounding.

    A product is the reverse-mode derivative of <gradient, v> (Pearlmutter 1994). The graph of
    the gradient is built once and differentiated again for every product, so that the forward
    and the first backward are paid once per mini-batch; PyHessian does this too, but by
    ``loss.backward(create_graph=True)``, which ties the graph to ``.grad`` and leaks it. Here
    nothing is written to ``.grad`` and the graph dies with :meth:`close`.

    With ``split``, the loss is a weighted sum over parts of the batch and each product builds
    and frees the graph of one part at a time: memory is that of one part, time that of a
    forward and a backward more per product. Not for a contrastive loss, which is no such sum.
    """

    def __init__(
        self,
        loss_fn: LossFunction,
        params: Sequence[Tensor],
        batch: Any,
        *,
        split: Split | None = None,
    ) -> None:
        """Evaluate the loss and, without ``split``, keep the graph of its gradient.

        Args:
            loss_fn: Takes the batch, returns a scalar that depends on ``params``.
            params: Leaf tensors of one type on one device.
            batch: What ``loss_fn`` takes.
            split: Cuts the batch into weighted parts.
        """
        check_params(params)
        self.params = list(params)
        self.size = sum(p.numel() for p in params)
        self.products = 0
        self._pieces = [(1.0, batch)] if split is None else list(split(batch))
        self._loss_fn = loss_fn
        self._grads: list[Tensor | None] | None = None
        self.loss = 0.0
        self.gradient = self.params[0].new_zeros(self.size)
        for weight, piece in self._pieces:
            value, grads = self._gradient_graph(piece)
            self.loss += weight * value
            self.gradient += weight * self._flatten(_detached(grads))
        if split is None:
            self._grads = grads

    def __exit__(self, *_: object) -> None:
        """Free the graph."""
        self.close()

    def close(self) -> None:
        """Free the graph of the gradient; products afterwards build it anew."""
        self._grads = None

    def matvec(self, vector: Tensor) -> Tensor:
        """Return H v.

        Args:
            vector: (size,) of the parameters' type and device.

        Returns:
            (size,) the product.
        """
        self.products += 1
        parts = unflatten(vector, self.params)
        if self._grads is not None:
            return self._flatten(self._differentiate(self._grads, parts))
        total = torch.zeros_like(vector)
        for weight, piece in self._pieces:
            _, grads = self._gradient_graph(piece)
            total.add_(self._flatten(self._differentiate(grads, parts)), alpha=weight)
        return total

    def as_linear_operator(self) -> LinearOperator:
        """Return the operator for scipy (ARPACK and others), in the parameters' type.

        Returns:
            A symmetric (size, size) operator.
        """
        like = self.params[0]

        def apply(vector: np.ndarray) -> np.ndarray:
            given = torch.as_tensor(vector.ravel(), dtype=like.dtype, device=like.device)
            return self.matvec(given).cpu().numpy()

        dtype = np.float64 if like.dtype == torch.float64 else np.float32
        return LinearOperator((self.size, self.size), matvec=apply, rmatvec=apply, dtype=dtype)

    def _gradient_graph(self, piece: Any) -> tuple[float, list[Tensor | None]]:
        with torch.enable_grad():
            loss = self._loss_fn(piece)
            if loss.numel() != 1:
                raise ValueError(f"loss_fn must return a scalar, not a {tuple(loss.shape)} tensor")
            grads = torch.autograd.grad(loss, self.params, create_graph=True, allow_unused=True)
        return float(loss.detach()), list(grads)

    def _differentiate(
        self, grads: Sequence[Tensor | None], parts: Sequence[Tensor]
    ) -> Sequence[Tensor | None]:
        # A parameter the loss is linear in, or does not use, has a constant gradient.
        live = [(g, v) for g, v in zip(grads, parts, strict=True) if g is not None and g.grad_fn]
        if not live:
            return [None] * len(self.params)
        outputs, vectors = zip(*live, strict=True)
        return torch.autograd.grad(
            outputs, self.params, grad_outputs=vectors, retain_graph=True, allow_unused=True
        )

    def _flatten(self, parts: Sequence[Tensor | None]) -> Tensor:
        return flatten(parts, self.params)


def flatten(parts: Sequence[Tensor | None], params: Sequence[Tensor]) -> Tensor:
    """Join one tensor per parameter to a vector.

    Args:
        parts: Shaped like ``params``; ``None`` stands for zeros.
        params: The parameters.

    Returns:
        (size,) vector.
    """
    return torch.cat([
        p.new_zeros(p.numel()) if part is None else part.reshape(-1)
        for part, p in zip(parts, params, strict=True)
    ])


def unflatten(vector: Tensor, params: Sequence[Tensor]) -> list[Tensor]:
    """Cut a vector into one view per parameter.

    Args:
        vector: (size,).
        params: The parameters.

    Returns:
        Tensors shaped like ``params``.
    """
    parts = vector.split([p.numel() for p in params])
    return [part.view(p.shape) for part, p in zip(parts, params, strict=True)]


def check_params(params: Sequence[Tensor]) -> None:
    """Refuse parameters that no Hessian can be taken for.

    Args:
        params: What the caller passed.

    Raises:
        ValueError: If there are none, or one is not a leaf that requires a gradient, or they
            differ in type or device.
    """
    if not params:
        raise ValueError("params is empty: pass the leaf tensors to differentiate")
    for i, p in enumerate(params):
        if not (p.is_leaf and p.requires_grad):
            raise ValueError(
                f"params[{i}] of shape {tuple(p.shape)} is not a leaf that requires a gradient: "
                "pass model.parameters() after requires_grad_(True)"
            )
    kinds = {(p.dtype, p.device) for p in params}
    if len(kinds) > 1:
        raise ValueError(f"params mix types or devices {sorted(map(str, kinds))}: use one of each")


def _detached(grads: Sequence[Tensor | None]) -> list[Tensor | None]:
    return [None if g is None else g.detach() for g in grads]
