"""Image and text features of a process's share of a batch, in one piece or in micro-batches.

With accumulation, the contrastive loss must still see all pairs of the step as negatives. The
features of each micro-batch are computed without keeping what the backward pass needs; the loss is
taken of all of them together; and the backward pass computes one micro-batch at a time again
(the method of GradCache, Gao et al. 2021, here as torch's checkpointing). Loss and gradients are
those of the undivided batch, the memory is that of one micro-batch, the price one more forward.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from open_clip import CLIP
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from clip_mamba.training.batch_norm import GlobalBatchNorm2d
from clip_mamba.training.drop_path import DropPaths


class Features:
    """Computes normalised features of both towers."""

    def __init__(
        self, model: CLIP, drop_paths: DropPaths, norms: list[GlobalBatchNorm2d], pieces: int
    ) -> None:
        """Keep the parts.

        Args:
            model: The CLIP model.
            drop_paths: Its stochastic depth.
            norms: Its global BatchNorm layers.
            pieces: Micro-batches.
        """
        self.model, self.drop_paths, self.norms, self.pieces = model, drop_paths, norms, pieces

    def __call__(self, images: Tensor, tokens: Tensor, dropped: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the features.

        Args:
            images: (n, 3, h, w) normalised.
            tokens: (n, context).
            dropped: (layers, n) of :meth:`DropPaths.draw`.

        Returns:
            Image and text features, (n, width) each, with unit rows.
        """
        if self.pieces == 1:
            return self._encode(images, tokens, dropped)
        found = [
            checkpoint(
                self._encode,
                *piece,
                use_reentrant=False,
                preserve_rng_state=False,  # nothing here draws random numbers
                context_fn=self._contexts,
            )
            for piece in zip(
                images.chunk(self.pieces),
                tokens.chunk(self.pieces),
                dropped.chunk(self.pieces, dim=1),
                strict=True,
            )
        ]
        image, text = zip(*found, strict=True)
        return torch.cat(image), torch.cat(text)

    def _encode(self, images: Tensor, tokens: Tensor, dropped: Tensor) -> tuple[Tensor, Tensor]:
        self.drop_paths.use(dropped)
        image = F.normalize(self.model.encode_image(images), dim=-1)
        return image, F.normalize(self.model.encode_text(tokens), dim=-1)

    def _contexts(self) -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        return nullcontext(), self._without_statistics()

    @contextmanager
    def _without_statistics(self) -> Generator[None]:
        for norm in self.norms:
            norm.update_statistics = False
        try:
            yield
        finally:
            for norm in self.norms:
                norm.update_statistics = True
