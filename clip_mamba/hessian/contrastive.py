"""Exact Hessian products of a contrastive loss, holding the graph of a few pairs at a time.

The in-batch negatives couple all pairs, but only through the features z(w): L = l(z(w), w), where
l is the small head (normalisation, logits, cross entropy, L2 term). With c = dl/dz,

    H v = sum_m [ d/dw <J_m' c_m, v> ]_(c fixed) + J' (l_zz J v + l_zw v) + l_wz J v + l_ww v.

So a product takes two passes over the micro-batches m. The first differentiates <J_m' c_m, v> by w,
which is that micro-batch's curvature, and by c_m, which is J_m v; then the head, whose graph is
tiny, gives what the features pass back; the second pulls that through J'. The idea of GradCache
(Gao et al. 2021), one derivative further. Same result, memory of one micro-batch instead of all;
time about 2.5 times that of a product with the graph kept, as the graph is built anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from clip_mamba.hessian.clip_loss import ClipLoss, Pairs
from clip_mamba.hessian.operator import HessianOperator, check_params, flatten, unflatten


class Operator(Protocol):
    """What the measurements ask of a Hessian."""

    size: int
    products: int
    loss: float
    gradient: Tensor

    def matvec(self, vector: Tensor) -> Tensor:
        """Return H v.

        Args:
            vector: (size,).
        """

    def close(self) -> None:
        """Free the graph."""


def hessian_of(
    loss: ClipLoss, params: Sequence[Tensor], batch: Pairs, chunk: int | None = None
) -> Operator:
    """Return the Hessian of CLIP's loss on one mini-batch.

    Args:
        loss: The loss.
        params: Leaf tensors.
        batch: Images and token ids of b pairs.
        chunk: Pairs whose graph is held at once; ``None`` keeps that of all b, which is faster.

    Returns:
        The operator; close it after use.
    """
    if chunk is None or chunk >= len(batch[0]):
        return HessianOperator(loss, params, batch)
    return ContrastiveOperator(loss, params, batch, chunk)


class ContrastiveOperator:
    """Products with the Hessian of CLIP's loss, in micro-batches."""

    def __init__(self, loss: ClipLoss, params: Sequence[Tensor], batch: Pairs, chunk: int) -> None:
        """Compute the features, the loss and its gradient.

        Args:
            loss: The loss.
            params: Leaf tensors of one type on one device.
            batch: Images and token ids of b pairs.
            chunk: Pairs whose graph is held at once.
        """
        check_params(params)
        self.params, self._loss = list(params), loss
        self.size, self.products = sum(p.numel() for p in params), 0
        self._parts = list(zip(*(x.split(chunk) for x in batch), strict=True))
        with torch.no_grad():
            found = [torch.stack(loss.features(part)) for part in self._parts]
        self._chunk = chunk
        self._z = torch.cat(found, dim=1).requires_grad_()  # (2, b, d): images, texts
        self._inputs = [self._z, *self.params]
        with torch.enable_grad():
            value = loss.head(*self._z)
            self._slopes = torch.autograd.grad(
                value, self._inputs, create_graph=True, materialize_grads=True
            )
        self.loss = float(value.detach())
        self.gradient = flatten([s.detach() for s in self._slopes[1:]], self.params)
        self._pull(self._slopes[0].detach(), self.gradient)

    def __enter__(self) -> ContrastiveOperator:
        """Return the operator itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Free the head's graph."""
        self.close()

    def close(self) -> None:
        """Free the head's graph; no product is possible afterwards."""
        self._slopes = ()

    def matvec(self, vector: Tensor) -> Tensor:
        """Return H v.

        Args:
            vector: (size,) of the parameters' type and device.

        Returns:
            (size,) the product.
        """
        self.products += 1
        direction = unflatten(vector, self.params)
        total = torch.zeros_like(vector)
        tangent = torch.cat(
            [self._push(i, direction, total) for i in range(len(self._parts))], dim=1
        )
        pairs = zip(self._slopes, [tangent, *direction], strict=True)
        live = [(slope, v) for slope, v in pairs if slope.grad_fn is not None]
        outputs, vectors = zip(*live, strict=True)
        back = torch.autograd.grad(
            outputs, self._inputs, vectors, retain_graph=True, materialize_grads=True
        )
        total += flatten(back[1:], self.params)
        self._pull(back[0], total)
        return total

    def _push(self, index: int, direction: Sequence[Tensor], total: Tensor) -> Tensor:
        # Adds one micro-batch's curvature to `total` and gives its J v, (2, chunk, d).
        c = self._slopes[0].detach().split(self._chunk, dim=1)[index].requires_grad_()
        with torch.enable_grad():
            z = torch.stack(self._loss.features(self._parts[index]))
            gradient = torch.autograd.grad(
                z, self.params, c, create_graph=True, materialize_grads=True
            )
        live = [(g, v) for g, v in zip(gradient, direction, strict=True) if g.grad_fn is not None]
        if not live:
            return torch.zeros_like(c)
        outputs, vectors = zip(*live, strict=True)
        found = torch.autograd.grad(outputs, [c, *self.params], vectors, materialize_grads=True)
        total += flatten(found[1:], self.params)
        return found[0]

    def _pull(self, by_z: Tensor, total: Tensor) -> None:
        """Add J' ``by_z`` to ``total``, one micro-batch after another."""
        for part, slope in zip(self._parts, by_z.split(self._chunk, dim=1), strict=True):
            with torch.enable_grad():
                z = torch.stack(self._loss.features(part))
            if z.grad_fn is not None:
                found = torch.autograd.grad(z, self.params, slope, materialize_grads=True)
                total += flatten(found, self.params)
