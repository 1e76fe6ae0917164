"""Batches of image-caption pairs as a pure function of (seed, step), so that a run resumes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from clip_mamba.seeding import generator, integer


class CachedPairs:
    """A corpus small enough to keep decoded and tokenised in memory.

    The batch of a step depends on nothing but the seed and the step: each epoch is a new
    permutation of all pairs, each augmentation is seeded by its step. A run that was killed
    therefore sees, after it resumes, exactly the batches it would have seen. Lightning saves
    and restores the position through ``state_dict`` and ``load_state_dict``.
    """

    def __init__(
        self,
        images: np.ndarray,
        captions: Sequence[Sequence[str]],
        tokenizer: Callable[[list[str]], Tensor],
        transform: Callable[[Any], Tensor],
        *,
        batch_size: int,
        epochs: float,
        seed: int,
    ) -> None:
        """Tokenise every caption once.

        Args:
            images: (n, height, width, 3) uint8.
            captions: The captions of each picture, one of which is drawn at each visit.
            tokenizer: Turns strings into (n, context) token ids.
            transform: PIL image -> (3, h, w) uint8 tensor, drawing from torch's generator.
            batch_size: Pairs a step.
            epochs: Passes over the corpus; need not be whole.
            seed: Seed of order, captions and augmentation.

        Raises:
            ValueError: If a picture has no caption or the corpus is smaller than a batch.
        """
        if len(images) < batch_size:
            raise ValueError(
                f"the corpus has {len(images)} pairs, fewer than one batch of {batch_size}: "
                "lower the recipe's batch_size"
            )
        bare = [i for i, texts in enumerate(captions) if not texts]
        if bare:
            raise ValueError(f"{len(bare)} pictures have no caption, the first is number {bare[0]}")
        self.images, self.transform = images, transform
        self.batch_size, self.seed = batch_size, seed
        distinct = sorted({text for texts in captions for text in texts})
        number = {text: i for i, text in enumerate(distinct)}
        self.tokens = tokenizer(distinct)  # (n_distinct, context)
        self.choices = [np.array([number[text] for text in texts]) for texts in captions]
        self.steps_per_epoch = len(images) // batch_size
        self.steps = round(epochs * self.steps_per_epoch)
        self.position = 0

    def __len__(self) -> int:
        """Return the number of steps of the whole run."""
        return self.steps

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the batches from the current position to the end.

        Yields:
            Images (batch, 3, h, w) uint8 and token ids (batch, context).
        """
        while self.position < self.steps:
            self.position += 1
            yield self.batch(self.position - 1)
        self.position = 0

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Make the batch of a step.

        Args:
            step: Number of the step, from 0.

        Returns:
            Images (batch, 3, h, w) uint8 and token ids (batch, context).
        """
        epoch, within = divmod(step, self.steps_per_epoch)
        chosen = self._order(epoch)[within * self.batch_size : (within + 1) * self.batch_size]
        rng = generator(self.seed, "captions", step)
        captions = [self.choices[i][rng.integers(len(self.choices[i]))] for i in chosen]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(integer(self.seed, "augmentation", step))
            images = [self.transform(Image.fromarray(self.images[i])) for i in chosen]
        return torch.stack(images), self.tokens[torch.from_numpy(np.array(captions))]

    @lru_cache(maxsize=2)  # noqa: B019 - one loader lives as long as its run
    def _order(self, epoch: int) -> np.ndarray:
        return generator(self.seed, "order", epoch).permutation(len(self.images))

    def state_dict(self) -> dict[str, int]:
        """Return the position, for a checkpoint."""
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue from the position of a checkpoint.

        Args:
            state: What :meth:`state_dict` returned.
        """
        self.position = state["position"]
