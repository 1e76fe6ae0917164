"""Random access to the pairs of a corpus, however large, through its index.

``samples.parquet`` (:mod:`clip_mamba.data.shard_index`) says where each picture and its captions
lie in the shards; one ``pread`` fetches either. Nothing is unpacked, nothing is read twice, and any
process can read any pair at any time: order, ranks and workers are the business of others.
"""

from __future__ import annotations

import io
import json
import os
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from clip_mamba.data.shard_index import check_shards

#: Shards that one process keeps open; the usual limit is 1,024 open files.
OPEN_SHARDS = 256
COLUMNS = ("shard", "image_offset", "image_size", "caption_offset", "caption_size")


class UnreadableError(ValueError):
    """A pair that cannot be used; the message says which and why."""


class Pairs(Protocol):
    """A corpus: pictures with captions, by number."""

    #: Checksum of the whole corpus, for results.
    sha256: str

    @property
    def shard_sizes(self) -> Sequence[int]:
        """Number of pairs of each shard, in order."""

    def __len__(self) -> int:
        """Return the number of pairs."""

    def image(self, i: int) -> Image.Image:
        """Return a picture in RGB.

        Args:
            i: Number of the pair.
        """

    def captions(self, i: int) -> list[str]:
        """Return its captions; empty ones are left out.

        Args:
            i: Number of the pair.
        """


def open_pairs(index: str | Path) -> ShardPairs:
    """Open a corpus; a shard that is missing or truncated is an error here, not hours later.

    Args:
        index: ``index.json`` beside ``samples.parquet``.

    Returns:
        The corpus.

    Raises:
        ValueError: If the index, its samples or a shard is missing or altered; the message names
            it.
    """
    index = Path(index)
    samples = index.with_name("samples.parquet")
    for path in (index, samples):
        if not path.exists():
            raise ValueError(f"{path} is missing. Build the corpus again.")
    table = check_shards(index)
    columns = pq.read_table(samples, columns=[*COLUMNS, "caption_format"])
    if len(columns) != table["pairs"]:
        raise ValueError(
            f"{samples} has {len(columns)} pairs, {index} {table['pairs']}. Build the corpus again."
        )
    places = {name: columns[name].to_numpy() for name in COLUMNS}
    is_text = np.asarray(columns["caption_format"].to_numpy() == "txt")
    paths = [index.parent / shard["name"] for shard in table["shards"]]
    return ShardPairs(paths, places, is_text, table["sha256"])


class ShardPairs:
    """Pairs in tars; safe to use in processes that were forked after it was opened."""

    def __init__(
        self, paths: list[Path], places: dict[str, np.ndarray], is_text: np.ndarray, sha256: str
    ) -> None:
        """Keep the places.

        Args:
            paths: The shards.
            places: The columns ``COLUMNS``, (pairs,) each.
            is_text: (pairs,) whether the captions are plain text, not JSON.
            sha256: Of the corpus.
        """
        self.paths, self.places, self.is_text, self.sha256 = paths, places, is_text, sha256
        sizes = np.bincount(places["shard"], minlength=len(paths))
        self.shard_sizes: list[int] = [int(size) for size in sizes]
        self._files: OrderedDict[int, int] = OrderedDict()
        self._process = os.getpid()

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.is_text)

    def image(self, i: int) -> Image.Image:
        """Decode a picture completely, so that a damaged one fails here.

        Args:
            i: Number of the pair.

        Returns:
            The picture in RGB.

        Raises:
            UnreadableError: If it cannot be decoded.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow's, on large pictures and odd metadata
                image = Image.open(io.BytesIO(self._read(i, "image")))
                image.load()
                return image.convert("RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise UnreadableError(f"{self.describe(i)}: unreadable picture ({error})") from error

    def captions(self, i: int) -> list[str]:
        """Return the captions that are not blank; bytes that are not UTF-8 become U+FFFD.

        Args:
            i: Number of the pair.

        Returns:
            One or more captions.

        Raises:
            UnreadableError: If there is none.
        """
        try:
            text = self._read(i, "caption").decode(errors="replace")
            found = [text] if self.is_text[i] else json.loads(text)["captions"]
            captions = [caption.strip() for caption in found if caption.strip()]
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UnreadableError(f"{self.describe(i)}: unreadable captions ({error})") from error
        if not captions:
            raise UnreadableError(f"{self.describe(i)}: no caption")
        return captions

    def describe(self, i: int) -> str:
        """Say where a pair lies.

        Args:
            i: Number of the pair.

        Returns:
            Shard and offset, for messages.
        """
        shard, offset = (int(self.places[name][i]) for name in ("shard", "image_offset"))
        return f"{self.paths[shard]} at byte {offset}"

    def _read(self, i: int, what: str) -> bytes:
        size, offset = (int(self.places[f"{what}_{part}"][i]) for part in ("size", "offset"))
        content = os.pread(self._open(int(self.places["shard"][i])), size, offset)
        if len(content) < size:
            raise OSError("the shard is truncated")
        return content

    def _open(self, shard: int) -> int:
        """Return the descriptor of a shard that belongs to this process."""
        if self._process != os.getpid():  # forked: the parent's files are the parent's to close
            self._files, self._process = OrderedDict(), os.getpid()
        if shard in self._files:
            self._files.move_to_end(shard)
        else:
            if len(self._files) >= OPEN_SHARDS:
                os.close(self._files.popitem(last=False)[1])
            self._files[shard] = os.open(self.paths[shard], os.O_RDONLY)
        return self._files[shard]
