"""Webdataset shards: written so that the same samples give the same bytes, read with checks."""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from clip_mamba.files import atomic_write, sha256

#: A sample: its key, and for each extension the bytes.
Sample = tuple[str, Mapping[str, bytes]]


def to_json(value: Any) -> bytes:
    """Encode a value compactly with a fixed order of keys.

    Args:
        value: Anything JSON can hold.

    Returns:
        UTF-8 bytes.
    """
    return json.dumps(value, ensure_ascii=False, sort_keys=True).encode()


def write_tar(path: str | Path, samples: Iterable[Sample]) -> int:
    """Write samples as a tar whose bytes depend on the samples alone (no time, no user).

    Args:
        path: The tar, written atomically.
        samples: Keys (without dots in the last part) with their files.

    Returns:
        The number of samples.

    Raises:
        ValueError: If two samples would be read back as one.
    """
    count, before = 0, None
    with (
        atomic_write(path) as temporary,
        tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for key, files in samples:
            if key == before or "." in key.rpartition("/")[2]:
                raise ValueError(f"{path}: the key {key!r} has a dot, or follows itself")
            before = key
            for extension, content in files.items():
                info = tarfile.TarInfo(f"{key}.{extension}")
                info.size, info.mode = len(content), 0o644
                tar.addfile(info, io.BytesIO(content))
            count += 1
    return count


def read_tar(path: str | Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Read samples in order; neighbouring files with one key make a sample.

    Args:
        path: A tar in webdataset's layout.

    Yields:
        Key and files by extension.

    Raises:
        ValueError: If the tar is cut off or is none.
    """
    key, files = "", dict[str, bytes]()
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                file = tar.extractfile(member)
                if file is None:
                    continue
                # As webdataset does it: the first dot of the file's own name.
                place, slash, base = member.name.rpartition("/")
                stem, _, extension = base.partition(".")
                name = place + slash + stem
                if name != key and files:
                    yield key, files
                    files = {}
                key = name
                files[extension] = file.read()
            # Cut between two members, a tar still reads; only its end mark is missing.
            tar.fileobj.seek(tar.offset)
            whole = tar.fileobj.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE)
    except tarfile.TarError as error:
        raise ValueError(
            f"{path} is truncated or no tar ({error}). Delete it and run the workflow again."
        ) from error
    if not whole:
        raise ValueError(f"{path} is truncated: its end mark is missing. Run the workflow again.")
    if files:
        yield key, files


def write_shards(
    folder: str | Path, samples: list[Sample], *, per_shard: int = 2048
) -> list[dict[str, Any]]:
    """Write samples as numbered shards.

    Args:
        folder: Where ``000000.tar`` and so on go; shards of an earlier build are removed.
        samples: All samples, in the order wanted.
        per_shard: Samples per shard.

    Returns:
        Name, sha256 and number of pairs of each shard.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.tar"):
        old.unlink()
    shards = []
    for number, start in enumerate(range(0, len(samples), per_shard)):
        path = folder / f"{number:06d}.tar"
        pairs = write_tar(path, samples[start : start + per_shard])
        shards.append({"name": path.name, "sha256": sha256(path), "pairs": pairs})
    return shards


def digest(shards: list[dict[str, Any]]) -> str:
    """Return one checksum for all shards.

    Args:
        shards: As returned by :func:`write_shards`.

    Returns:
        64 hexadecimal digits.
    """
    return hashlib.sha256("".join(shard["sha256"] for shard in shards).encode()).hexdigest()


@dataclass
class TrainingSet:
    """A training corpus in memory."""

    #: (n, side, side, 3) uint8.
    images: np.ndarray
    #: One dictionary per image: concept, label, style, subgroup, group, captions, source.
    metadata: list[dict[str, Any]]
    #: The checksum of all shards, for results.
    sha256: str
    #: Keys of samples that could not be decoded and were left out.
    corrupt: list[str] = field(default_factory=list)


def read_training(index: str | Path) -> TrainingSet:
    """Read every shard that an index names, check each, and decode it.

    Args:
        index: ``index.json`` beside the shards.

    Returns:
        Images, metadata and the keys of corrupt samples.

    Raises:
        ValueError: If a shard is missing or is not the one the index describes.
    """
    index = Path(index)
    table = json.loads(index.read_text())
    images: list[np.ndarray] = []
    metadata: list[dict[str, Any]] = []
    corrupt: list[str] = []
    for shard in tqdm(table["shards"], desc="read shards", unit="shards", mininterval=1):
        path = index.parent / shard["name"]
        check_shard(path, shard["sha256"])
        for key, files in read_tar(path):
            try:
                image = decode(files["png"])
                facts = json.loads(files["json"])
            except (OSError, ValueError, KeyError, SyntaxError):
                corrupt.append(f"{path.name}:{key}")
                continue
            images.append(np.asarray(image))
            metadata.append(facts)
    if not images:
        raise ValueError(f"{index} names no readable picture. Build the training shards again.")
    return TrainingSet(np.stack(images), metadata, table["sha256"], corrupt)


def decode(png: bytes) -> Image.Image:
    """Decode a picture completely, so that a damaged one fails here.

    Args:
        png: An encoded picture.

    Returns:
        RGB.
    """
    image = Image.open(io.BytesIO(png))
    image.load()
    return image.convert("RGB")


def check_shard(path: Path, expected: str) -> None:
    """Refuse a file that is not the one its index describes.

    Args:
        path: The file.
        expected: Its sha256 there.

    Raises:
        ValueError: If it is missing or differs; the message shows both checksums.
    """
    if not path.exists():
        raise ValueError(f"{path} is missing. Build the data again.")
    found = sha256(path)
    if found != expected:
        raise ValueError(
            f"{path} is truncated or altered: expected sha256 {expected}, found {found} "
            f"({path.stat().st_size} bytes). Delete it and build the data again."
        )
