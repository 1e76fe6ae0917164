"""The scalar that is differentiated: CLIP's loss of one mini-batch.

Definition. For b pairs (image x_i, caption t_i) with normalised features u_i, v_i and the logit
scale s, which is a parameter of the model and measured with the others,

    L = 1/2 [ mean_i -log softmax_j(e^s u_i.v_j)[i] + mean_i -log softmax_j(e^s v_i.u_j)[i] ]
        + l2 / 2 * sum of squares of the decayed parameters.

The in-batch negatives make L depend on b, and not be a mean over examples: it cannot be cut
into micro-batches, and figures for different b must not be compared. Layers are in evaluation
mode (no dropout, no drop path, BatchNorm by its running statistics), arithmetic is the
parameters' own (no autocast).
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from clip_mamba.ops.selective_scan import twice_differentiable

#: Images (b, 3, height, width), token ids (b, context).
Pairs = tuple[Tensor, Tensor]


@contextmanager
def exact_derivatives() -> Generator[None]:
    """Choose kernels whose gradient can be differentiated again.

    Fused attention has no double backward, the CUDA scan has a wrong one, and autocast would
    round between the two derivatives.

    Yields:
        Nothing.
    """
    with (
        sdpa_kernel(SDPBackend.MATH),
        twice_differentiable(),
        torch.autocast("cpu", enabled=False),
        torch.autocast("cuda", enabled=False),
    ):
        yield


def decayed_parameters(model: nn.Module, decay: Literal["report", "mamba"]) -> list[Tensor]:
    """Return the parameters that the pretraining recipe decays.

    Args:
        model: A CLIP model.
        decay: The recipe's rule.

    Returns:
        The tensors of the L2 term.
    """
    from clip_mamba.recipe import parameter_groups

    return list(parameter_groups(model, 1.0, decay)[0]["params"])


class ClipLoss:
    """CLIP's loss of a mini-batch, as a function of the model's parameters."""

    def __init__(
        self, model: nn.Module, l2: float = 0.0, decay: Literal["report", "mamba"] = "report"
    ) -> None:
        """Prepare the loss.

        Args:
            model: Has ``encode_image``, ``encode_text`` and ``logit_scale``; in evaluation mode.
            l2: Coefficient of the L2 term.
            decay: Which parameters are in it, see :class:`clip_mamba.recipe.Recipe`.

        Raises:
            ValueError: If the model lacks CLIP's interface or is in training mode.
        """
        lacking = [
            n for n in ("encode_image", "encode_text", "logit_scale") if not hasattr(model, n)
        ]
        if lacking:
            raise ValueError(f"{type(model).__name__} is no CLIP model: it lacks {lacking}")
        if any(module.training for module in model.modules()):
            raise ValueError("the model is in training mode: call model.eval() first")
        self.model: Any = model
        self.l2 = l2
        self.decayed = decayed_parameters(model, decay) if l2 else []

    def __call__(self, batch: Pairs) -> Tensor:
        """Return the loss.

        Args:
            batch: Images and token ids.

        Returns:
            A scalar with a graph that can be differentiated twice.
        """
        images, texts = batch
        with exact_derivatives():
            u = F.normalize(self.model.encode_image(images), dim=-1)  # (b, d)
            v = F.normalize(self.model.encode_text(texts), dim=-1)  # (b, d)
            logits = self.model.logit_scale.exp() * u @ v.T  # (b, b)
            if getattr(self.model, "logit_bias", None) is not None:
                logits = logits + self.model.logit_bias
            labels = torch.arange(len(logits), device=logits.device)
            loss = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
            if self.l2:
                loss = (
                    loss + self.l2 / 2 * torch.stack([p.square().sum() for p in self.decayed]).sum()
                )
        return loss
