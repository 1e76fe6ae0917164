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
from open_clip.model import CLIP
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from clip_mamba.hessian.derivatives import FastDerivatives
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
        FastDerivatives(),
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


def encode_text(model: Any, texts: Tensor) -> Tensor:
    """Return a CLIP model's text features without computing on the padding.

    Under a causal mask no position sees what comes after it, and CLIP reads the end token: what
    follows the longest caption of a batch changes neither the loss nor any derivative of it.

    Args:
        model: Has ``encode_text``; open_clip's CLIP with a causal text tower is cut short.
        texts: Token ids (b, context).

    Returns:
        (b, d) features.
    """
    mask = getattr(model, "attn_mask", None)
    if not isinstance(model, CLIP) or mask is None or model.text_pool_type != "argmax":
        return model.encode_text(texts)
    n = int(texts.argmax(dim=-1).max()) + 1
    shorter = {
        "positional_embedding": model.positional_embedding[:n],
        "attn_mask": mask[:n, :n],
    }
    # CLIP.forward, as encode_text is no forward; it normalises, which does not hurt twice.
    found = functional_call(model, shorter, (None, texts[:, :n]))
    return found["text_features"] if isinstance(found, dict) else found[1]


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
        return self.head(*self.features(batch))

    def features(self, batch: Pairs) -> tuple[Tensor, Tensor]:
        """Return what the towers make of a batch; each pair's features depend on it alone.

        Args:
            batch: Images and token ids.

        Returns:
            Image and text features (b, d), normalised.
        """
        images, texts = batch
        with exact_derivatives():
            u = F.normalize(self.model.encode_image(images), dim=-1)
            return u, F.normalize(encode_text(self.model, texts), dim=-1)

    def head(self, u: Tensor, v: Tensor) -> Tensor:
        """Return the loss of features; this part sees all pairs.

        Args:
            u: Image features (b, d).
            v: Text features (b, d).

        Returns:
            A scalar.
        """
        with exact_derivatives():
            logits = self.model.logit_scale.exp() * u @ v.T  # (b, b)
            if getattr(self.model, "logit_bias", None) is not None:
                logits = logits + self.model.logit_bias
            labels = torch.arange(len(logits), device=logits.device)
            loss = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
            if self.l2:
                squares = torch.stack([p.square().sum() for p in self.decayed])
                loss = loss + self.l2 / 2 * squares.sum()
        return loss
