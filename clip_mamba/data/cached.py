"""A corpus small enough to keep decoded and tokenised in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from clip_mamba.data.augment import CAPTION, Augmentation
from clip_mamba.data.pairs import Pairs, UnreadableError
from clip_mamba.data.resize import crop_resize

Tokenizer = Callable[[list[str]], Tensor]
#: Decoded bytes above which a corpus is streamed.
LARGEST = 512 * 2**20


class CachedSource:
    """Pictures of one size in memory, and the token ids of every distinct caption."""

    def __init__(
        self,
        images: np.ndarray,
        captions: Sequence[Sequence[str]],
        tokenizer: Tokenizer,
        augmentation: Augmentation,
        image_size: int,
        *,
        first_caption: bool = False,
        unreadable: Sequence[int] = (),
    ) -> None:
        """Tokenise every caption once.

        Args:
            images: (n, height, width, 3) uint8.
            captions: The captions of each picture, one of which is drawn at each visit.
            tokenizer: Turns strings into (n, context) token ids.
            augmentation: How pictures are cropped.
            image_size: Side of the models' input in pixels.
            first_caption: Take the first caption instead of drawing one.
            unreadable: Pairs that the next one that is readable stands in for.

        Raises:
            ValueError: If a readable picture has no caption, or nothing is readable.
        """
        bad = set(unreadable)
        bare = [i for i, texts in enumerate(captions) if not texts and i not in bad]
        if bare:
            raise ValueError(f"{len(bare)} pictures have no caption, the first is number {bare[0]}")
        self.images = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())  # (n, 3, h, w)
        self.augmentation, self.image_size = augmentation, image_size
        distinct = sorted({text for texts in captions for text in texts})
        number = {text: i for i, text in enumerate(distinct)}
        self.tokens = tokenizer(distinct)  # (n_distinct, context)
        kept = [texts[:1] if first_caption else texts for texts in captions]
        self.counts = np.array([len(texts) for texts in kept])
        self.first = np.concatenate([[0], np.cumsum(self.counts)[:-1]])
        self.choices = np.array([number[text] for texts in kept for text in texts])
        self.stand_in = _stand_in(len(images), bad)
        self.shard_sizes: Sequence[int] = [len(images)]

    def fetch(self, chosen: np.ndarray, draws: np.ndarray) -> tuple[Tensor, Tensor, int]:
        """Return pairs, cropped by their draws.

        Args:
            chosen: (n,) numbers of pairs.
            draws: (n, DRAWS) of :func:`clip_mamba.data.augment.draw_table`.

        Returns:
            Pictures (n, 3, size, size) uint8, token ids (n, context), and how many pairs others
            stood in for.
        """
        rows = self.stand_in[chosen]
        replaced = int((rows != chosen).sum())
        images = self.images[torch.from_numpy(rows)]
        sides = [np.full(len(rows), side) for side in images.shape[2:]]
        boxes = self.augmentation.boxes(draws, *sides)
        which = (draws[:, CAPTION] * self.counts[rows]).astype(np.int64)
        tokens = self.tokens[torch.from_numpy(self.choices[self.first[rows] + which])]
        return crop_resize(images, boxes, self.image_size), tokens, replaced


def _stand_in(pairs: int, bad: set[int]) -> np.ndarray:
    # For each pair the next one that is readable, going round at the end.
    if len(bad) == pairs:
        raise ValueError(f"none of the {pairs} pictures can be read. Build the corpus again.")
    good = np.array([i for i in range(pairs) if i not in bad])
    return good[np.searchsorted(good, np.arange(pairs)) % len(good)]


def fits_in_memory(pairs: Pairs) -> bool:
    """Tell whether a corpus is small enough to be decoded once, by the size of its first picture.

    Args:
        pairs: The corpus.

    Returns:
        Whether it is.
    """
    try:
        width, height = pairs.image(0).size
    except UnreadableError:
        return False
    return len(pairs) * width * height * 3 <= LARGEST


def decode_all(
    pairs: Pairs, tokenizer: Tokenizer, augmentation: Augmentation, image_size: int, **kwargs: Any
) -> CachedSource | None:
    """Read a whole corpus into memory.

    Args:
        pairs: The corpus.
        tokenizer: As in :class:`CachedSource`.
        augmentation: Likewise.
        image_size: Likewise.
        **kwargs: Likewise.

    Returns:
        The source, or ``None`` if the pictures differ in size.
    """
    images: list[np.ndarray] = []
    captions: list[list[str]] = []
    unreadable: list[int] = []
    for i in tqdm(range(len(pairs)), desc="read pairs", unit="pairs", mininterval=1, delay=5):
        try:
            image, texts = np.asarray(pairs.image(i)), pairs.captions(i)
        except UnreadableError as error:
            print(f"{error}; the next pair stands in for it")
            unreadable.append(i)
            image, texts = images[0] if images else np.zeros((1, 1, 3), np.uint8), []
        if images and image.shape != images[0].shape:
            return None
        images.append(image)
        captions.append(texts)
    return CachedSource(
        np.stack(images),
        captions,
        tokenizer,
        augmentation,
        image_size,
        unreadable=unreadable,
        **kwargs,
    )
