"""A corpus of any size: each pair is read, decoded, cropped and tokenised when its turn comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from clip_mamba.data.augment import CAPTION, Augmentation
from clip_mamba.data.pairs import Pairs, UnreadableError

#: Unreadable neighbours after which the corpus is taken to be damaged.
PATIENCE = 100


class StreamedSource:
    """Pairs read from shards as they are asked for."""

    def __init__(
        self,
        pairs: Pairs,
        tokenizer: Callable[[list[str]], Tensor],
        augmentation: Augmentation,
        image_size: int,
        *,
        first_caption: bool = False,
    ) -> None:
        """Keep the parts.

        Args:
            pairs: The corpus.
            tokenizer: Turns strings into (n, context) token ids.
            augmentation: How pictures are cropped.
            image_size: Side of the models' input in pixels.
            first_caption: Take the first caption instead of drawing one.
        """
        self.pairs, self.tokenizer = pairs, tokenizer
        self.augmentation, self.image_size = augmentation, image_size
        self.first_caption = first_caption
        self.shard_sizes: Sequence[int] = pairs.shard_sizes
        self._told: set[int] = set()

    def fetch(self, chosen: np.ndarray, draws: np.ndarray) -> tuple[Tensor, Tensor, int]:
        """Return pairs, cropped by their draws.

        Args:
            chosen: (n,) numbers of pairs.
            draws: (n, DRAWS) of :func:`clip_mamba.data.augment.draw_table`.

        Returns:
            Pictures (n, 3, size, size) uint8, token ids (n, context), and how many pairs others
            stood in for.
        """
        pictures = torch.empty(len(chosen), 3, self.image_size, self.image_size, dtype=torch.uint8)
        texts: list[str] = []
        replaced = 0
        for row, (number, draw) in enumerate(zip(chosen, draws, strict=True)):
            image, captions, tries = self._readable(int(number))
            replaced += tries > 0
            pictures[row] = self._crop(image, draw)
            which = 0 if self.first_caption else int(draw[CAPTION] * len(captions))
            texts.append(captions[which])
        return pictures, self.tokenizer(texts), replaced

    def _readable(self, number: int) -> tuple[Image.Image, list[str], int]:
        # The pair, or the next one that can be read, and how far on that was.
        for tries in range(min(PATIENCE, len(self.pairs))):
            i = (number + tries) % len(self.pairs)
            try:
                return self.pairs.image(i), self.pairs.captions(i), tries
            except UnreadableError as error:
                last = error
                if i not in self._told:
                    self._told.add(i)
                    print(f"{error}; the next pair stands in for it", flush=True)
        raise ValueError(f"{tries + 1} pairs in a row cannot be read, the last: {last}")

    def _crop(self, image: Image.Image, draw: np.ndarray) -> Tensor:
        width, height = image.size
        sides = np.array([height]), np.array([width])
        top, left, h, w = self.augmentation.boxes(draw[None], *sides)[0].tolist()
        piece = image.crop((left, top, left + w, top + h))
        piece = piece.resize((self.image_size, self.image_size), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.asarray(piece).transpose(2, 0, 1).copy())
