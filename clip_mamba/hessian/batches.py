"""The pairs that curvature is measured on: drawn once, the same for every model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor, nn

from clip_mamba.data.normalize import Normalize
from clip_mamba.data.pairs import Pairs, UnreadableError
from clip_mamba.seeding import generator, integer

Tokenizer = Callable[[list[str]], Tensor]


@dataclass(frozen=True)
class Drawn:
    """Augmented training pairs.

    Attributes:
        images: (n, 3, size, size) uint8.
        captions: Their n captions.
        numbers: The n numbers of the pairs in the corpus.
        corpus: The corpus's own checksum.
        digest: SHA-256 over corpus, numbers, captions and pixels: equal digests, equal batches.
    """

    images: Tensor
    captions: list[str]
    numbers: list[int]
    corpus: str
    digest: str

    def batches(
        self, size: int, tokenizer: Tokenizer, normalize: Normalize, pairs: int | None = None
    ) -> list[tuple[Tensor, Tensor]]:
        """Cut the first pairs into mini-batches, in their order.

        Args:
            size: Pairs in each; a rest is left out.
            tokenizer: Turns captions into token ids.
            normalize: The model's normalisation.
            pairs: How many pairs to use; ``None`` for all.

        Returns:
            Images (size, 3, h, w) float32 and token ids (size, context) of each.
        """
        count = (len(self.numbers) if pairs is None else pairs) // size
        return [
            (normalize(self.images[i : i + size]), tokenizer(self.captions[i : i + size]))
            for i in range(0, count * size, size)
        ]


def draw(corpus: Pairs, count: int, augmentation: nn.Module, seed: int = 0) -> Drawn:
    """Draw pairs, a caption of each, and one augmentation of each picture.

    The first n pairs do not depend on ``count``; a pair that cannot be read is passed over.

    Args:
        corpus: The training corpus.
        count: Pairs to draw.
        augmentation: PIL image -> (3, size, size) uint8, drawing from torch's generator.
        seed: Seed of all three choices; not the model's, so that every model gets the same.

    Returns:
        The pairs.

    Raises:
        ValueError: If the corpus has too few readable pairs.
    """
    images: list[Tensor] = []
    captions: list[str] = []
    numbers: list[int] = []
    for number in generator(seed, "hessian", "pairs").permutation(len(corpus)):
        if len(numbers) == count:
            break
        try:
            picture, texts = corpus.image(int(number)), corpus.captions(int(number))
        except UnreadableError:
            continue
        rng = generator(seed, "hessian", "caption", int(number))
        captions.append(texts[int(rng.integers(len(texts)))])
        images.append(_augmented(augmentation, picture, seed, int(number)))
        numbers.append(int(number))
    if len(numbers) < count:
        raise ValueError(
            f"the corpus has {len(numbers)} readable pairs, but the Hessian's mini-batches take "
            f"{count}: lower hessian.batches, hessian.batch_size or hessian.sweep"
        )
    stacked = torch.stack(images)
    digest = _digest(corpus.sha256, numbers, captions, stacked)
    return Drawn(stacked, captions, numbers, corpus.sha256, digest)


def _augmented(augmentation: nn.Module, picture: Image.Image, seed: int, number: int) -> Tensor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(integer(seed, "hessian", "augmentation", number))
        return augmentation(picture)


def _digest(corpus: str, numbers: list[int], captions: list[str], images: Tensor) -> str:
    found = hashlib.sha256(f"{corpus} {numbers} {captions}".encode())
    found.update(images.numpy().tobytes())
    return found.hexdigest()
