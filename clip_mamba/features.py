"""Image features from a tar: decoding in threads, overlapped with the model, in bounded memory.

Pillow releases Python's lock while it decodes and resizes, so threads scale; and they share the
process, so a small task does not wait for workers to start. What is left per picture, turning
it to floats and normalising it, is done for a whole batch at once, with the same arithmetic.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from open_clip import CLIP
from open_clip.transform import MaybeToTensor
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from torchvision.transforms import Normalize, ToTensor
from tqdm import tqdm

from clip_mamba.data.shards import decode, read_tar
from clip_mamba.data.tasks import IMAGE_EXTENSIONS, UNREADABLE

#: Share of unreadable pictures above which a task is not scored.
MAX_UNREADABLE = 0.001

#: Pictures that one thread decodes at a time.
_CHUNK = 16

Prepared = np.ndarray | Tensor


@torch.inference_mode()
def encode_images(
    model: CLIP,
    images: Iterable[Any],
    preprocess: Callable[[Any], Tensor],
    batch_size: int = 512,
) -> Tensor:
    """Return normalised image features of pictures in memory.

    Args:
        model: A CLIP model (``encode_image``).
        images: PIL images.
        preprocess: Turns one image into a (3, height, width) tensor.
        batch_size: Images encoded at once.

    Returns:
        (n, embed) float32 with unit rows.
    """
    device = next(model.parameters()).device
    features = []
    batch: list[Tensor] = []

    def flush() -> None:
        encoded = model.encode_image(torch.stack(batch).to(device))
        features.append(F.normalize(encoded, dim=-1).float())
        batch.clear()

    for image in images:
        batch.append(preprocess(image))
        if len(batch) == batch_size:
            flush()
    if batch:
        flush()
    return torch.cat(features)


class BatchedPreprocess:
    """open_clip's evaluation transform, cut where a picture becomes a tensor.

    Up to the cut each picture is treated alone (resize, crop, RGB); after it, a batch at once.
    A transform of another make is applied whole to each picture.
    """

    def __init__(self, preprocess: Callable[[Any], Any]) -> None:
        """Find the cut.

        Args:
            preprocess: Turns a PIL image into a (3, height, width) tensor.
        """
        steps = list(getattr(preprocess, "transforms", ()))
        cuts = [i for i, step in enumerate(steps) if isinstance(step, MaybeToTensor | ToTensor)]
        rest = steps[cuts[0] + 1 :] if cuts else []
        self.whole = preprocess
        self.cut = bool(cuts) and all(isinstance(step, Normalize) for step in rest)
        self.first = steps[: cuts[0]] if self.cut else []
        self.rest = rest

    def one(self, image: Image.Image) -> Prepared:
        """Treat one picture up to the cut.

        Args:
            image: A PIL image.

        Returns:
            (height, width, 3) uint8, or what the whole transform makes of it.
        """
        if not self.cut:
            return self.whole(image)
        for step in self.first:
            image = step(image)
        return np.asarray(image)

    def batch(self, pictures: list[Prepared], device: torch.device) -> Tensor:
        """Treat a batch from the cut on.

        Args:
            pictures: From :meth:`one`.
            device: Where the batch goes, as bytes where it can.

        Returns:
            (n, 3, height, width) float32.
        """
        if not self.cut:
            return torch.stack([torch.as_tensor(picture) for picture in pictures]).to(device)
        stacked = torch.from_numpy(np.stack([np.asarray(p) for p in pictures])).to(device)
        batch = stacked.permute(0, 3, 1, 2).contiguous().float().div(255)
        for step in self.rest:
            batch = step(batch)
        return batch


@dataclass
class Encoded:
    """Features of the readable samples of a tar, in its order."""

    keys: list[str]
    #: (n, width) float32, on the CPU.
    features: Tensor
    #: What each sample holds besides its picture: contents by file ending.
    files: list[Mapping[str, bytes]]
    #: Keys of samples whose picture could not be read; they are left out.
    corrupt: list[str] = field(default_factory=list)

    def labels(self, classes: int) -> np.ndarray:
        """Return the class of each sample, from ``<key>.cls``.

        Args:
            classes: Number of classes.

        Returns:
            (n,) class indices.

        Raises:
            ValueError: If a sample has none, or one out of range; the message names it.
        """
        found = np.empty(len(self.keys), dtype=np.int64)
        for i, (key, files) in enumerate(zip(self.keys, self.files, strict=True)):
            text = files.get("cls", b"").strip()
            if not text.isdigit() or int(text) >= classes:
                shown = text.decode(errors="replace") or "none"
                raise ValueError(
                    f"sample {key}: label {shown} is not one of 0 to {classes - 1}. "
                    "Build the task again."
                )
            found[i] = int(text)
        return found

    def metadata(self) -> list[dict[str, Any]]:
        """Return each sample's ``<key>.json``, empty where it has none.

        Returns:
            A dictionary a sample.
        """
        return [json.loads(files["json"]) if "json" in files else {} for files in self.files]


class ImageEncoder:
    """One model's image tower, fed from tars.

    Pictures that were encoded before, by their bytes, are not encoded again: tasks that ask
    different questions about the same pictures share the work.
    """

    def __init__(
        self,
        encode: Callable[[Tensor], Tensor],
        preprocess: Callable[[Any], Any],
        *,
        device: torch.device | str = "cpu",
        batch_size: int = 128,
        workers: int = 2,
        remember: int = 20_000,
    ) -> None:
        """Prepare an encoder.

        Args:
            encode: (n, 3, height, width) to (n, width).
            preprocess: Turns a PIL image into a (3, height, width) tensor.
            device: Where ``encode`` computes.
            batch_size: Pictures encoded at once.
            workers: Threads that decode and resize.
            remember: Features kept at most, for pictures that come again.
        """
        self.encode, self.preprocess = encode, BatchedPreprocess(preprocess)
        self.device, self.batch_size = torch.device(device), batch_size
        self.workers, self.remember = max(1, workers), remember
        self.known: dict[bytes, Tensor] = {}

    @torch.inference_mode()
    def read(self, tar: str | Path) -> Encoded:
        """Encode every picture of a tar.

        Args:
            tar: ``<key>.jpg|png|webp`` and other files of each sample.

        Returns:
            The features, with the samples' other files. Too many unreadable pictures are an
            error, see :func:`check_readable`.
        """
        found = Encoded([], torch.empty(0), [])
        rows: list[bytes] = []  # digest of each readable picture
        fresh: dict[bytes, Tensor] = {}
        waiting: dict[bytes, Prepared] = {}
        pictures = self._pictures(read_tar(tar), fresh)
        name = Path(tar).parent.name
        for key, files, digest, picture in tqdm(
            pictures, desc=f"encode {name}", unit="images", delay=5, mininterval=5
        ):
            known = digest in self.known or digest in fresh or digest in waiting
            if picture is None and not known:
                found.corrupt.append(key)
                continue
            found.keys.append(key)
            found.files.append(files)
            rows.append(digest)
            if not known and picture is not None:
                waiting[digest] = picture
            if len(waiting) == self.batch_size:
                self._flush(waiting, fresh)
        self._flush(waiting, fresh)
        check_readable(tar, len(found.corrupt), len(found.keys))
        found.features = torch.stack([self.known[d] if d in self.known else fresh[d] for d in rows])
        for digest, row in fresh.items():
            if len(self.known) < self.remember:
                self.known[digest] = row
        return found

    def _flush(self, waiting: dict[bytes, Prepared], fresh: dict[bytes, Tensor]) -> None:
        if not waiting:
            return
        batch = self.preprocess.batch(list(waiting.values()), self.device)
        encoded = self.encode(batch).float().cpu()
        fresh.update(zip(waiting, encoded, strict=True))
        waiting.clear()

    def _pictures(
        self, samples: Iterable[tuple[str, dict[str, bytes]]], fresh: Mapping[bytes, Tensor]
    ) -> Iterator[tuple[str, Mapping[str, bytes], bytes, Prepared | None]]:
        """Yield key, other files, digest and prepared picture, at most a batch ahead."""
        pending: deque[tuple[list[Any], Future[list[Prepared | None]]]] = deque()
        ahead = max(1, -(-self.batch_size // _CHUNK)) + self.workers
        with ThreadPoolExecutor(self.workers) as pool:
            try:
                for chunk in _chunks(_opened(samples)):
                    contents = [
                        None if d in self.known or d in fresh else data for _, _, d, data in chunk
                    ]
                    pending.append((chunk, pool.submit(self._prepare, contents)))
                    if len(pending) > ahead:
                        yield from _joined(*pending.popleft())
                while pending:
                    yield from _joined(*pending.popleft())
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _prepare(self, contents: list[bytes | None]) -> list[Prepared | None]:
        prepared: list[Prepared | None] = []
        for data in contents:
            try:
                prepared.append(None if not data else self.preprocess.one(decode(data)))
            except UNREADABLE:
                prepared.append(None)
        return prepared


def _opened(
    samples: Iterable[tuple[str, dict[str, bytes]]],
) -> Iterator[tuple[str, Mapping[str, bytes], bytes, bytes]]:
    """Yield key, other files, digest of the picture's bytes, and those bytes."""
    for key, files in samples:
        ending = next((e for e in IMAGE_EXTENSIONS if e in files), None)
        data = files.pop(ending) if ending else b""
        # A sample without a picture must not pass for another one's.
        digest = hashlib.sha256(data if data else key.encode()).digest()
        yield key, files, digest, data


def _chunks(items: Iterable[Any]) -> Iterator[list[Any]]:
    chunk = []
    for item in items:
        chunk.append(item)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _joined(
    chunk: list[Any], prepared: Future[list[Prepared | None]]
) -> Iterator[tuple[str, Mapping[str, bytes], bytes, Prepared | None]]:
    for (key, files, digest, _), picture in zip(chunk, prepared.result(), strict=True):
        yield key, files, digest, picture


def check_readable(tar: str | Path, corrupt: int, readable: int) -> None:
    """Refuse a set of which too much is unreadable.

    Args:
        tar: The file, for the message.
        corrupt: Number of unreadable pictures.
        readable: Number of the others.

    Raises:
        ValueError: If nothing, or more than ``MAX_UNREADABLE`` of it, cannot be read.
    """
    total = corrupt + readable
    if not readable or corrupt > MAX_UNREADABLE * total:
        raise ValueError(
            f"{tar}: {corrupt} of {total} pictures are unreadable, more than "
            f"{100 * MAX_UNREADABLE:g} %. Delete it and build the task again."
        )
